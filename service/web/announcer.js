// Tells screen readers what has happened elsewhere on the page.

/** @param {string} words */
export function announce(words) {
  document.getElementById("announcer").textContent = words;
}
