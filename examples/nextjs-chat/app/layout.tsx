import type { ReactNode } from "react";

export const metadata = { title: "A chat whose answers don't break off" };

const style = `
  body { font: 16px/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
  p { white-space: pre-wrap; padding: 0.5rem 1rem; border-radius: 0.5rem; background: #f1f1f4; }
  p.user { background: #dde8ff; margin-left: 20%; }
  output { margin-left: 1rem; color: #666; }
`;

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <style>{style}</style>
        {children}
      </body>
    </html>
  );
}
