// Names for screen readers that the theme leaves out or gets wrong.
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll(".search-button-field")) {
    button.removeAttribute("aria-label"); // what can be seen on it is its name
  }
  for (const toggle of document.querySelectorAll(".has-children > details > summary")) {
    const chapter = toggle.closest(".has-children").querySelector("a");
    toggle.setAttribute("aria-label", `pages of ${chapter.textContent.trim()}`);
  }
});
