import { notify } from "./notify.js";

/** Something that an operator may want to know. It has no token, no API key, and no query. */
export interface LogEntry {
  /**
   * `warn`: something is lost, such as the renewal of a lease. `info`: a connection is made again,
   * or a producer is asked to stop. `debug`: the rest.
   */
  level: "debug" | "info" | "warn";
  /** One sentence for a person. */
  message: string;
  /** The error that it is about, if there is one. */
  error?: unknown;
}

/** Takes log entries. */
export type OnLog = (entry: LogEntry) => void;

/** Writes a log entry. */
export type Log = (level: LogEntry["level"], message: string, error?: unknown) => void;

/** Writes the entries to this function, if there is one. */
export function logTo(onLog: OnLog | undefined): Log {
  return (level, message, error) =>
    notify(onLog, error === undefined ? { level, message } : { level, message, error });
}
