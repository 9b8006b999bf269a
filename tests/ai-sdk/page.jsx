// The page of the browser tests. It shows a chat, and gives the tests `window.chat`.

import { Chat as ChatState, useChat } from '@ai-sdk/react';
import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { BrokerChatTransport } from 'tinistreamer/ai-sdk';

const id = 'chat';
const transport = new BrokerChatTransport();
const messages = await (await fetch(`/messages?id=${id}`)).json();
const onFinish = ({ isAbort, isError }) => window.finishes.push({ isAbort, isError });
const init = { id, messages, transport, onFinish };
/** With `?outside`, the chat outlives its component. */
const outside = location.search ? { chat: new ChatState(init) } : undefined;
window.finishes = [];

function Chat() {
  const chat = useChat({ ...(outside ?? init), resume: true });
  window.chat = chat;
  return (
    <main data-status={chat.status}>
      {chat.messages.map((message) => (
        <pre key={message.id} className={message.role}>
          {message.parts.map((part) => (part.type === 'text' ? part.text : ''))}
        </pre>
      ))}
      <output>{chat.error?.message}</output>
    </main>
  );
}

function App() {
  const [isOpen, setOpen] = useState(true);
  window.setOpen = setOpen;
  return isOpen ? <Chat /> : null;
}

// It mounts everything twice, as it does while an app is developed.
createRoot(document.getElementById('root')).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
