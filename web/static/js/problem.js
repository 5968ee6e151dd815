// Asking the API, and turning every way it can fail into one sentence for the person.

export class Problem extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function ask(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service cannot be reached. Is it still running?", 0);
  }
  if (!response.ok) throw new Problem(await sentence(response), response.status);
  return response;
}

export function post(url, body, signal, headers = {}) {
  return ask(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    signal,
  });
}

// What to say about an error on the page of a model, which may be deleted while it is open.
export function ofModel(error) {
  return error.status === 404
    ? "This model is gone: it was deleted. Choose another one under Models."
    : error.message;
}

async function sentence(response) {
  const type = response.headers.get("Content-Type") ?? "";
  if (!type.includes("json")) return `The service answered with status ${response.status}.`;
  const problem = await response.json();
  const said = problem.detail ?? problem.title ?? "";
  const details = (problem.errors ?? []).map((error) => error.msg);
  return [said, ...details.filter((each) => !said.includes(each))].filter(Boolean).join(" ");
}
