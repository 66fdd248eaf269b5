"""What gradio lacks for people who see little, or listen to the page; see docs/explorer.md.

Each rule has the name of the rule of axe-core that finds the fault in gradio 6.
"""

from __future__ import annotations

# the texts whose news are read out
NEWS = "news"

STYLE = """
/* color-contrast: gradio's grey has 1.9 to 1 on white */
body:not(.dark) .gradio-container { --body-text-color-subdued: #5c5c66; }
"""

SCRIPT = """
function nameWidgets() {
  const label = (element) => element.closest(".block")?.querySelector(
    "[data-testid='block-label']")?.textContent.trim() ?? "";
  // button-name: an image is a button that has no name if the image has none
  for (const image of document.querySelectorAll(".image-frame img")) {
    image.alt = image.alt || label(image);
  }
  // aria-prohibited-attr: an empty image has a name, but no role
  for (const empty of document.querySelectorAll("div.empty[aria-label]:not([role])")) {
    empty.setAttribute("role", "img");
    empty.setAttribute("aria-label", label(empty) + ": none yet");
  }
  // label-content-name-mismatch: the name of the upload is not what is written on it
  for (const upload of document.querySelectorAll("button.upload-container[aria-label]")) {
    upload.setAttribute("aria-label",
      upload.textContent.replace(/\\s+/g, " ").trim() + ": " + label(upload));
  }
  // what a descent tells is read out; gradio gives its class to a box and to the text in it
  for (const news of document.querySelectorAll(".NEWS:not(.NEWS .NEWS, [aria-live])")) {
    news.setAttribute("aria-live", "polite");
  }
}
new MutationObserver(nameWidgets).observe(document, { childList: true, subtree: true });
""".replace("NEWS", NEWS)

HEAD = f"<style>{STYLE}</style>\n<script>{SCRIPT}</script>"
