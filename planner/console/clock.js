// What time it is by the planner's clock: that of whoever looks may be an hour off, and what has just happened would be told as
// of an hour ago, or as yet to come.

// Answers name their second, and are a moment on their way: what is less is no difference.
const LEAST_MS = 5_000;

let ahead = 0;

// An answer that has just come says that it was written then.
export function heard(date, now = Date.now()) {
  const differs = Date.parse(date) + 500 - now;
  if (Math.abs(differs - ahead) > LEAST_MS) ahead = Math.abs(differs) > LEAST_MS ? differs : 0;
}

// By how many milliseconds the planner's clock is ahead of this one; 0 where they agree.
export const difference = () => ahead;

export const present = () => Date.now() + ahead;
