"use client";
import { useChat } from "@ai-sdk/react";
import { BrokerChatTransport } from "tinistreamer/ai-sdk";

const transport = new BrokerChatTransport();

export function Chat(props: Parameters<typeof useChat>[0]) {
  const chat = useChat({ ...props, transport, resume: true });
  const send = (text: unknown) => void chat.sendMessage({ text: `${text}` });
  return (
    <form action={(form) => send(form.get("text"))}>
      {chat.messages.map(({ id, parts }) => (
        <p key={id}>{parts.map((it) => it.type === "text" && it.text)}</p>
      ))}
      <input name="text" /> <button>Send</button>
      <button formAction={chat.stop}>Stop</button> {chat.error?.message}
    </form>
  );
}
