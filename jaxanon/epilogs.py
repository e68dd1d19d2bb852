"""What `--help` says below the options."""

EXAMPLES = """\
examples:
  jaxanon anonymize party.jpg -o party_anonymous.jpg
  jaxanon anonymize photos/ -o anonymous/ --manifest anonymous.json
  jaxanon anonymize "2024/**/*.jpg" -o anonymous/ --mode blur
  jaxanon anonymize clip.mp4 -o clip_anonymous.mp4 --audio keep
  jaxanon detect photos/ -o faces.json      # look at it, edit it, then:
  jaxanon anonymize photos/ -o anonymous/ --detections faces.json
  jaxanon demo -o demo/

exit status: 0 all done; 1 some file failed and has no output; 2 wrong usage;
130 interrupted. What is not media in a folder is named and left out."""

_FORMATS = """\
pictures: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF; HEIC with pip install "jaxanon[heic]".
  Turned upright as EXIF asks; metadata (place, camera, thumbnails, comments) goes, the
  colour profile and transparency stay. 16-bit, grey, 1-bit and CMYK pictures stay
  what they are; a palette picture with a face becomes RGB, a GIF gets a new palette.
  JPEG keeps its subsampling and is written at quality 95 or, if higher, its own; for
  AVIF, HEIC and lossy WebP the quality is high, too. Further pictures inside a JPEG
  (previews, depth) are left out; multi-page TIFF and animated WebP, PNG and AVIF are
  refused.
videos: what FFmpeg reads, such as MP4, MOV, MKV, WebM, AVI and animated GIF. Sound is
  dropped unless asked for, because a voice tells who is speaking."""

_SEED = """\
the same seed, file, weights, options and kind of device give the same bytes, whatever
other files are done and in which order. Without it every run draws new faces from a
secret that is written nowhere, except with --resume. A manifest holds the seed only
if you gave one."""


_RESUME = """\
what is done is kept beside the output in a hidden folder, .NAME.unfinished, in
parts of 100 frames: anonymised pictures, places of faces and, readable for you
alone, the key that draws the new faces (it says nothing of the people). It goes
when the video is done; to give up, delete it. Without --resume an interrupted video
leaves nothing."""


def anonymize() -> str:
    """Gives the text for `jaxanon anonymize`."""
    return "\n\n".join([_FORMATS, f"--seed: {_SEED}", f"--resume: {_RESUME}", EXAMPLES])
