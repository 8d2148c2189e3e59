"""The page's looks: Gradio's theme, and what it leaves to CSS; light and dark, wide and narrow."""

_FONT = [
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica Neue",
    "Arial",
    "sans-serif",
]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

CSS = """
:root { --zoo-accent: #1f5f99; --zoo-ink: #1d1c1a; --zoo-soft: #6a6762; --zoo-rule: #e4e1db;
  --zoo-card: #ffffff; --zoo-error: #a3321f; }
.dark { --zoo-accent: #79b4ea; --zoo-ink: #e8e6e1; --zoo-soft: #a09d97; --zoo-rule: #34373b;
  --zoo-card: #1e2023; --zoo-error: #f0937f; }
.dark { --color-accent: #79b4ea; --checkbox-background-color-selected: #1f5f99;
  --checkbox-border-color-selected: #79b4ea; }
.gradio-container { width: 100% !important; max-width: 70rem !important;
  margin: 0 auto !important; }
.gradio-container main.fillable { width: 100% !important; }
.gradio-container main.fillable { padding: 2rem 1.25rem 3rem !important; }
footer { display: none !important; }

.dark input[type=range] { --neutral-200: #34373b; }
/* White on white, it looks like a gap in the track. */
input[type=range]::-webkit-slider-thumb { box-shadow: 0 0 0 2px var(--zoo-accent) !important; }
input[type=range]::-moz-range-thumb { box-shadow: 0 0 0 2px var(--zoo-accent) !important; }
.image-container .icon-wrap { --body-text-color: #ffffff; }
.dark .image-container .icon-wrap { --body-text-color: #161719; }

.zoo-head h1 { font-size: clamp(1.7rem, 5vw, 2.25rem); line-height: 1.2; font-weight: 700;
  letter-spacing: -.02em; margin: 0; color: var(--zoo-ink); }
.zoo-head p { margin: .35rem 0 .5rem; color: var(--zoo-soft); font-size: 1rem;
  text-wrap: pretty; }

.zoo-say { margin: .35rem 0 0; font-size: .875rem; line-height: 1.45; color: var(--zoo-soft);
  overflow-wrap: anywhere; }
.zoo-error { color: var(--zoo-error); border-left: 3px solid; padding-left: .7rem; }
.zoo-bar { height: 4px; border-radius: 2px; background: var(--zoo-rule); overflow: hidden;
  margin-top: .5rem; }
.zoo-bar i { display: block; height: 100%; background: var(--zoo-accent); border-radius: 2px;
  transition: width .3s; }
.zoo-moving i { width: 30% !important; animation: zoo-move 1.4s ease-in-out infinite alternate; }
@keyframes zoo-move { from { margin-left: 0; } to { margin-left: 70%; } }
@media (prefers-reduced-motion: reduce) { .zoo-moving i { animation: none; } }

.zoo-facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr));
  gap: .75rem 1.25rem; margin: .25rem 0; }
.zoo-facts dt { font-size: .8125rem; color: var(--zoo-soft); }
.zoo-facts dd { margin: 0; font-weight: 600; color: var(--zoo-ink); overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }

.zoo-download { display: flex; gap: .5rem; justify-content: center; align-items: baseline;
  padding: .7rem 1rem; border: 1px solid var(--zoo-accent); border-radius: .5rem;
  color: var(--zoo-accent) !important; font-weight: 600; text-decoration: none !important; }
.zoo-download span { font-weight: 400; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; min-width: 0; }
.zoo-download:hover, .zoo-download:focus-visible { background: var(--zoo-accent);
  color: var(--zoo-card) !important; }

.gradio-container .html-container { padding: 0 !important; }
.zoo-after { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); }
.zoo-look { margin: 0; }
.zoo-look img { display: block; max-width: 100%; max-height: 32rem; margin: 0 auto;
  border-radius: .5rem; }
.zoo-look figcaption { margin-top: .5rem; font-size: .875rem; color: var(--zoo-soft);
  text-align: center; }
.zoo-blank { display: grid; place-items: center; min-height: 20rem; padding: 2rem;
  border: 1px dashed var(--zoo-rule); border-radius: .75rem; color: var(--zoo-soft);
  text-align: center; }

.zoo-players { display: grid; gap: .75rem; }
.zoo-player { display: grid; grid-template-columns: 6rem 1fr; align-items: center; gap: .75rem; }
.zoo-player b { font-weight: 600; color: var(--zoo-ink); }
.zoo-player audio { width: 100%; height: 2.75rem; }
.dark .zoo-player audio { color-scheme: dark; }

.zoo-scores { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  color: var(--zoo-ink); }
.zoo-scores, .zoo-scores tr { border: 0 !important; }
.zoo-scores th, .zoo-scores td { padding: .4rem .75rem .4rem 0 !important; text-align: right;
  border: 0 !important; border-bottom: 1px solid var(--zoo-rule) !important; }
.zoo-scores th[scope=row] { text-align: left; font-weight: 400; }
.zoo-scores th[scope=col] { font-weight: 400; font-size: .8125rem; color: var(--zoo-soft); }
.zoo-scores tr:last-child td { font-weight: 600; }

.zoo-samples .grid-wrap { min-height: 0 !important; padding: 0 !important; overflow: visible; }
.zoo-samples .grid-container { gap: .5rem !important; padding: 0 !important; width: 100%;
  grid-template-columns: repeat(4, minmax(0, 1fr)) !important; grid-template-rows: auto !important;
  grid-auto-rows: auto !important; }
.zoo-samples .thumbnail-item { border-radius: .5rem !important; aspect-ratio: 1;
  min-height: 0 !important; height: auto !important; }

@media (max-width: 640px) {
  .gradio-container main.fillable { padding: 1.25rem .75rem 2rem !important; }
  .zoo-player { grid-template-columns: 1fr; gap: .25rem; }
  .zoo-blank { min-height: 8rem; }
  input[type=range] { margin-bottom: .5rem; }
}
"""


def theme():
    """The theme of Gradio: the colours of the report, fonts of the system."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    accent = gr.themes.Color(
        *("#eaf1f8", "#d5e3f1", "#abc8e3", "#81acd5", "#4c87bd", "#1f5f99"),
        *("#1f5f99", "#1a5083", "#15416b", "#103253", "#0b233b"),
    )
    grey = gr.themes.Color(
        *("#fbfaf8", "#f3f1ed", "#e4e1db", "#cfccc5", "#a09d97", "#6a6762"),
        *("#4d4a46", "#34373b", "#25282b", "#1e2023", "#161719"),
    )
    made = gr.themes.Base(
        primary_hue=accent,
        secondary_hue=accent,
        neutral_hue=grey,
        font=_FONT,
        font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_md,
    )
    return made.set(
        body_background_fill="#fbfaf8",
        body_background_fill_dark="#161719",
        body_text_color="#1d1c1a",
        body_text_color_dark="#e8e6e1",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1e2023",
        block_border_width="1px",
        block_border_color="#e4e1db",
        block_border_color_dark="#34373b",
        block_label_text_color="#6a6762",
        block_label_text_color_dark="#a09d97",
        block_title_text_weight="500",
        button_primary_background_fill="#1f5f99",
        button_primary_background_fill_hover="#1a5083",
        button_primary_background_fill_dark="#79b4ea",
        button_primary_background_fill_hover_dark="#93c3ef",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#161719",
        button_secondary_background_fill="#f3f1ed",
        button_secondary_background_fill_dark="#25282b",
        slider_color="#1f5f99",
        slider_color_dark="#79b4ea",
        input_background_fill="#fbfaf8",
        input_background_fill_dark="#161719",
    )
