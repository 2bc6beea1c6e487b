"""The mark that an image is synthetic, in the words of the IPTC; it is beside the image's bytes and changes none.

A shard has it in a column and in the footer of its files; files of pictures that commands draw have it as XMP. The
value is IPTC's term for media that a trained model made (https://cv.iptc.org/newscodes/digitalsourcetype/), which is
also that of C2PA's content credentials.
"""

from PIL.PngImagePlugin import PngInfo

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""Made by a model that was trained on sampled content."""
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""A picture that has synthetic parts and others, such as real images beside synthetic ones."""
COLUMN = "digital_source_type"
"""The column of shards that has the mark of each image."""
KEY = b"DigitalSourceType"
"""The key of the mark in the metadata of a Parquet file's footer."""
_XMP = (
    '<?xpacket begin="\\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="{kind}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def xmp(kind: str = SOURCE_TYPE) -> bytes:
    """Return an XMP packet that says where a picture comes from."""
    return _XMP.format(kind=kind).encode()


def png(kind: str = SOURCE_TYPE) -> PngInfo:
    """Return the same packet as Pillow writes it into a PNG: ``image.save(path, "PNG", pnginfo=marks.png())``."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp(kind).decode())
    return info
