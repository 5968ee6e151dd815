// What the machine sees: asked for while one types, at most one question on its way.

const DEBOUNCE_MS = 250;
const RETRY_MS = 2000;
const LOOKED_AT = 256 * 1024; // characters or bytes; the server takes no more (pages/preview.py)

export function watchForm(form) {
  const address = form.getAttribute("data-preview"); // form.dataset is the field of that name
  const panel = document.querySelector("#preview");
  const why = document.querySelector("#why");
  const empty = [...panel.childNodes];
  const chooses = why.textContent;
  const hints = new Map(); // the server's own messages stay until their field is changed
  let timer = 0;
  let asking = null;
  let last = "";

  function schedule(wait = DEBOUNCE_MS) {
    clearTimeout(timer);
    asking?.abort();
    timer = setTimeout(look, wait);
  }

  async function look() {
    const question = body(form);
    if (!question) {
      last = "";
      panel.classList.remove("stale");
      panel.replaceChildren(...empty);
      suggest("", "");
      return;
    }
    panel.classList.add("stale");
    const mine = (asking = new AbortController());
    try {
      const answer = await fetch(address, {
        method: "POST", body: question, signal: mine.signal,
        headers: { "X-CSRF-Token": form.elements.csrf_token.value },
      });
      if (answer.status === 503) return schedule(RETRY_MS);
      if (!answer.ok) return panel.classList.remove("stale");
      const html = await answer.text();
      if (!mine.signal.aborted) show(html);
    } catch (error) {
      if (error.name !== "AbortError") schedule(RETRY_MS);
    }
  }

  function show(html) {
    panel.classList.remove("stale");
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("#preview-body");
    if (!fresh) return;
    suggest(fresh.dataset.suggested, fresh.dataset.why);
    complain(JSON.parse(fresh.dataset.messages));
    if (!fresh.children.length || html === last) return;
    last = html;
    panel.replaceChildren(fresh);
  }

  function suggest(preset, sentence) {
    why.textContent = sentence || chooses;
    for (const card of form.querySelectorAll(".card")) {
      card.classList.toggle("suits", card.querySelector("input").value === preset);
    }
  }

  // What is wrong stands beside its field, as after sending.
  function complain(messages) {
    for (const [name, hint] of hints) if (!(name in messages)) clear(name, hint);
    for (const [name, words] of Object.entries(messages)) {
      const found = form.elements[name];
      const field = found instanceof RadioNodeList ? form.querySelector(`#${name}`) : found;
      if (!field || document.querySelector(`#message-${CSS.escape(name)}`)) continue;
      const hint = hints.get(name) ?? place(field);
      hints.set(name, hint);
      hint.textContent = words;
      if (field !== found) continue;
      field.setAttribute("aria-invalid", "true");
    }
  }

  function clear(name, hint) {
    hint.remove();
    hints.delete(name);
    form.querySelector(`[name="${CSS.escape(name)}"]`)?.removeAttribute("aria-invalid");
  }

  form.addEventListener("input", () => schedule());
  form.addEventListener("change", () => schedule());
  return schedule;
}

function place(field) {
  const old = field.closest(".field")?.querySelector(".message");
  if (old) return old;
  const hint = document.createElement("p");
  hint.className = "message";
  hint.setAttribute("role", "status");
  if (field.matches("fieldset")) field.append(hint);
  else field.after(hint);
  return hint;
}

// The form without what is too long to look at; null: there is no text.
function body(form) {
  const { text, file, dataset } = form.elements;
  const question = new FormData(form);
  question.delete("file");
  question.delete("csrf_token");
  if (file.files.length) {
    const [chosen] = file.files;
    question.delete("text");
    question.set("head", chosen.slice(0, LOOKED_AT), chosen.name);
    question.set("size", String(chosen.size));
    question.delete("dataset");
  } else if (dataset?.value) {
    question.delete("text");
  } else if (text.value.trim()) {
    question.set("text", text.value.slice(0, LOOKED_AT));
    question.set("size", String(text.value.length));
  } else {
    return null;
  }
  return question;
}
