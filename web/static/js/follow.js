// A stream of events that survives: it goes on after the last event when the connection was lost,
// falls back to asking again and again where streams do not work, and is closed while nobody looks
// at the page (a browser has six connections for all its tabs).

const POLL_SECONDS = 2;
const HIDDEN_SECONDS = 15;

// options: address(): where to listen now; receive(event); poll(): ask once, a promise;
// done(): whether there is nothing more to come; line(on): the connection is there, or is not.
// Returns what ends it, once done() says so.
export function follow({ address, receive, poll, done, line }) {
  let source = null;
  let timer = 0;
  let streams = "EventSource" in window;

  function listen() {
    source = new EventSource(address());
    source.onopen = () => line(true);
    source.onmessage = (message) => {
      receive(JSON.parse(message.data));
      if (done()) stop();
    };
    source.onerror = () => {
      if (done()) return stop();
      line(false);
      // While it is only CONNECTING the browser tries again by itself, from the last event on.
      if (source?.readyState !== EventSource.CLOSED) return;
      streams = false; // refused: ask instead, and try a stream again later
      close();
      ask(POLL_SECONDS);
      setTimeout(() => (streams = "EventSource" in window), 60_000);
    };
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(timer);
  }

  function stop() {
    close();
    line(null);
  }

  function ask(seconds) {
    timer = setTimeout(async () => {
      line(await poll().then(() => true, () => false));
      if (!done()) go();
      else stop();
    }, seconds * 1000);
  }

  function go() {
    if (done()) return stop();
    close();
    if (document.hidden) ask(HIDDEN_SECONDS);
    else if (streams) listen();
    else ask(POLL_SECONDS);
  }

  function lose() {
    if (done()) return;
    close();
    line(false);
  }

  document.addEventListener("visibilitychange", go);
  addEventListener("offline", lose);
  addEventListener("online", go);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && go());
  go();
  return stop;
}
