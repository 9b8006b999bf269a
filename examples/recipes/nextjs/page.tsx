// app/page.tsx
"use client";
import { useState } from "react";
import { useStream } from "tinistreamer/react";

export default function Page() {
  const [access, setAccess] = useState<{ sse_url: string; token: string }>();
  const { text, status, requestStop } = useStream({ access });
  const ask = async (form: FormData) => {
    const response = await fetch("/answers", { method: "POST", body: form.get("question") });
    setAccess(await response.json());
  };
  return (
    <form action={ask}>
      <input name="question" /> <button>Ask</button>
      <button formAction={() => void requestStop()}>Stop</button> {status}
      <pre>{text}</pre>
    </form>
  );
}
