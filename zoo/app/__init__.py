"""The page of `zoo app`: images and audio denoised in a browser, on this machine.

`server` assembles the page by Gradio (the extra "app") and serves it; `door` decides which requests
come in. `image_tab`, `audio_tab` and `trial_tab` each do the work of a tab and lay it out, by the
`parts` that they share: `jobs` (one at a time), `store` (a visitor's files, removed at the end),
`choices` (models and samples). `limits` bounds sizes, `appearance` makes HTML.
"""
