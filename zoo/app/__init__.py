"""The page of `zoo app`: pictures and recordings denoised in a browser, on this machine.

What the page does lies in `pictures`, `recordings` and `trial`, `models` and `samples`, which know
of no browser; `jobs` does one thing at a time, `store` keeps a visitor's files and takes them away,
`door` says who may come in. `page` puts it together, by Gradio (the extra "app"), and `server`
serves it.
"""
