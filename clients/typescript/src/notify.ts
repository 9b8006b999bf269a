/** Calls a listener of the application later, so that its errors break nothing here. */
export function notify<T>(listener: ((about: T) => void) | undefined, about: T): void {
  if (listener) queueMicrotask(() => listener(about));
}
