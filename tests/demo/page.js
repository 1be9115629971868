"use strict";

const STATES = { 200: "valid", 404: "refused", 410: "expired" };

// Fetch the card's link and show the answer. Returns the response, or null when there is none.
async function ask(card) {
  const [status, body, when] = card.querySelectorAll(".answer > p");
  try {
    // no-store: a browser may keep a recording until its link expires
    const response = await fetch(card.dataset.link, { cache: "no-store" });
    const content = await response.blob();
    status.textContent = `${response.status} ${response.statusText}`;
    body.textContent = content.type.startsWith("text/")
      ? await content.text()
      : `${content.type}, ${content.size.toLocaleString("en")} bytes`;
    when.textContent = response.headers.get("Date");
    card.dataset.state = STATES[response.status] ?? "failed";
    return response;
  } catch (error) {
    status.textContent = "No answer";
    body.textContent = error.message;
    when.textContent = "";
    card.dataset.state = "failed";
    return null;
  }
}

function countDown(card) {
  const [label, time] = card.querySelector(".countdown").children;
  const bar = card.querySelector(".bar > div");
  const again = card.querySelector("button");
  // When the link expires, on the clock of performance.now(). It comes from the server's Date header, because the
  // visitor's own clock may be wrong. Date is in whole seconds, so this is up to a second late and never early.
  let end = Infinity;
  let asking = false;

  async function check() {
    if (asking) return;
    asking = true;
    const response = await ask(card);
    asking = false;
    if (response?.ok) {
      const left = card.dataset.expires * 1000 - Date.parse(response.headers.get("Date"));
      end = Math.min(end, performance.now() + left);
      return;
    }
    clearInterval(ticking);
    document.removeEventListener("visibilitychange", checkIfVisible);
    if (response?.status === 410) {
      label.textContent = "Expired";
      time.textContent = "0:00";
      bar.style.width = "0";
    }
    again.hidden = false;
  }

  function tick() {
    if (end === Infinity) return;
    const left = Math.max(0, end - performance.now());
    const seconds = Math.ceil(left / 1000);
    time.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    bar.style.width = `${Math.min(100, left / card.dataset.lifetime / 10)}%`;
    if (left === 0) check();
  }

  // performance.now() may stand still while the device sleeps
  function checkIfVisible() {
    if (!document.hidden) check();
  }

  again.addEventListener("click", () => location.reload());
  document.addEventListener("visibilitychange", checkIfVisible);
  const ticking = setInterval(tick, 200);
  check();
}

countDown(document.getElementById("expiring"));
ask(document.getElementById("altered"));
