// What axe-core finds in the theme: a dialog without a name, and tables that no key can scroll.
document.querySelector("[data-md-component=search]")?.setAttribute("aria-label", "search");
// the theme wraps tables after this script
new MutationObserver(() => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    table.tabIndex = 0;
  }
}).observe(document.body, { childList: true, subtree: true });
