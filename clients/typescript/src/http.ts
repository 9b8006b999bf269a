import { ApiError } from "./errors.js";

/** Whether a response with this status is a reason to try again. */
export function isRetryable(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/**
 * The shortest delay before another attempt, in milliseconds. Undefined for an error of the broker
 * that another attempt would meet again.
 */
export function leastDelay(error: unknown): number | undefined {
  if (!(error instanceof ApiError)) return 0;
  return isRetryable(error.status) ? (error.retryAfter ?? 0) * 1000 : undefined;
}

/** Reads the body of a response, and returns the error that it describes. */
export async function apiError(response: Response): Promise<ApiError> {
  return errorFrom(response, parseJson(await response.text()));
}

/** The error that a response with this parsed body describes. */
export function errorFrom(response: Response, body: unknown): ApiError {
  const { stream_status: streamStatus, ...known }: ErrorBody = isErrorBody(body)
    ? body
    : {
        code: "unexpected-answer",
        message: `Not an answer of the broker: ${response.status} ${response.statusText}`.trim(),
      };
  return new ApiError({
    ...known,
    streamStatus,
    status: response.status,
    retryAfter: retryAfter(response.headers),
  });
}

/** `Retry-After` in seconds. The header may contain a date. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Number(value);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's page. The caller distinguishes it from the broker's errors.
    return undefined;
  }
}

/** The body of the broker's errors. */
interface ErrorBody {
  code: string;
  message: string;
  stream_status?: string;
}

function isErrorBody(body: unknown): body is ErrorBody {
  return (
    typeof body === "object" &&
    body !== null &&
    "code" in body &&
    typeof body.code === "string" &&
    "message" in body &&
    typeof body.message === "string"
  );
}
