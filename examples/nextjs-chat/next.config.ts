import type { NextConfig } from "next";

// The folder above has lock files of its own.
export default { turbopack: { root: import.meta.dirname } } satisfies NextConfig;
