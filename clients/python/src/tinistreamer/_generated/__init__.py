"""Generated from spec/openapi.json by scripts/generate. Do not edit."""
