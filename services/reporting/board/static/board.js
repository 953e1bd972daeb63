// Keeps a page up to date without loading it anew: every few seconds, only while somebody looks at it.
"use strict";
(() => {
  const EVERY_MS = 5000, SLOWEST_MS = 60000;
  const province = document.body.dataset.province, note = document.getElementById("bao");
  let version = document.body.dataset.version, wait = EVERY_MS, timer = 0, stopped = false, busy = false;
  if (!province || !version) return;

  const say = (text) => { note.textContent = text; note.hidden = !text; };
  const stop = (text) => { stopped = true; clearTimeout(timer); say(text); };
  const later = () => { clearTimeout(timer); if (!stopped && !document.hidden) timer = setTimeout(look, wait); };
  const editing = () => {
    const at = document.activeElement;
    return at && at.matches && at.matches("main input, main select, main textarea");
  };

  const refresh = async () => {
    const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
    if (answer.status === 401) return stop("Phiên đăng nhập đã hết. Tải lại trang để đăng nhập.");
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = document.querySelector("main"), next = page.querySelector("main");
    if (!next || !page.body.dataset.version) throw new Error("no page");
    const focused = document.activeElement, all = [...now.querySelectorAll("a, button, select, summary, [tabindex]")];
    const place = all.indexOf(focused), open = [...now.querySelectorAll("details")].map((one) => one.open);
    const across = [...now.querySelectorAll(".wrap")].map((one) => one.scrollLeft);
    now.replaceChildren(...next.childNodes);
    now.querySelectorAll("details").forEach((one, at) => { if (open[at]) one.open = true; });
    now.querySelectorAll(".wrap").forEach((one, at) => { one.scrollLeft = across[at] || 0; });
    if (place >= 0) now.querySelectorAll("a, button, select, summary, [tabindex]")[place]?.focus({ preventScroll: true });
    document.querySelector("footer").replaceChildren(...page.querySelector("footer").childNodes);
    version = page.body.dataset.version;
    say("Số liệu vừa được cập nhật.");
  };

  const look = async () => {
    if (stopped || busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch("/live?province=" + encodeURIComponent(province), { credentials: "same-origin", redirect: "error" });
      if (answer.status === 401 || answer.status === 403) {
        stop("Phiên đăng nhập đã hết. Tải lại trang để đăng nhập.");
      } else if (answer.ok) {
        const said = await answer.json();
        // What somebody is about to choose is not taken from under the hand.
        if (said.version !== version && !editing()) await refresh();
        wait = EVERY_MS;
      } else {
        wait = Math.min(wait * 2, SLOWEST_MS);
      }
    } catch (error) {
      wait = Math.min(wait * 2, SLOWEST_MS);
    } finally {
      busy = false;
      later();
    }
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else look(); });
  later();
})();
