// Keeps a page up to date without loading it anew: every few seconds, only while somebody looks at it.
"use strict";
(() => {
  const EVERY_MS = 5000, SLOWEST_MS = 60000, FAILED_MAX = 3;
  const province = document.body.dataset.province, note = document.getElementById("bao");
  let version = document.body.dataset.version, wait = EVERY_MS, timer = 0, stopped = false, busy = false, failed = 0;
  if (!province || !version) return;

  const say = (text) => { note.textContent = text; note.hidden = !text; };
  // Nothing that stops is to look as if it went on: the note stays in sight, and leads back to this very page.
  const ended = (text) => {
    stopped = true;
    clearTimeout(timer);
    const again = document.createElement("a");
    again.href = "/login?next=" + encodeURIComponent(location.pathname + location.search);
    again.textContent = "Đăng nhập lại";
    note.replaceChildren(text + " ", again);
    note.classList.add("ended");
    note.hidden = false;
  };
  const EXPIRED = "Phiên đăng nhập đã hết, trang này không còn tự cập nhật.";
  const REFUSED = "Tài khoản không còn quyền xem trang này, trang không còn tự cập nhật.";
  const missed = () => {
    wait = Math.min(wait * 2, SLOWEST_MS);
    if (++failed >= FAILED_MAX) say("Không kết nối được với bảng theo dõi; số liệu trên trang có thể đã cũ. Đang thử lại.");
  };
  const reached = () => { wait = EVERY_MS; if (failed >= FAILED_MAX) say(""); failed = 0; };
  const later = () => { clearTimeout(timer); if (!stopped && !document.hidden) timer = setTimeout(look, wait); };
  const editing = () => {
    const at = document.activeElement;
    return at && at.matches && at.matches("main input, main select, main textarea");
  };

  const refresh = async () => {
    const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
    if (answer.status === 401) return ended(EXPIRED);
    if (answer.status === 403) return ended(REFUSED);
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
      if (answer.status === 401) {
        ended(EXPIRED);
      } else if (answer.status === 403) {
        ended(REFUSED);
      } else if (answer.ok) {
        const said = await answer.json();
        reached();
        // What somebody is about to choose is not taken from under the hand.
        if (said.version !== version && !editing()) await refresh();
      } else {
        missed();
      }
    } catch (error) {
      missed();
    } finally {
      busy = false;
      later();
    }
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else look(); });
  later();
})();
