# SPDX-License-Identifier: Apache-2.0
"""Documents with words of a language that nobody speaks: docx, xlsx, PDF and archives in archives, of any size, as different as their seeds."""
import io
import pathlib
import zipfile
import zlib

SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu bel can dor fin gal hem jun kor lim mon nes par qui ros sen tal".split()
NAMESPACE = "http://schemas.openxmlformats.org"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
OFFICE = "application/vnd.openxmlformats-officedocument"
TYPES = {"docx": OFFICE + ".wordprocessingml.document", "xlsx": OFFICE + ".spreadsheetml.sheet", "pdf": "application/pdf", "zip": "application/zip"}


def paragraphs(chance):
    """Endless paragraphs of words; short words come more often, as they do in a language."""
    common = ["".join(chance.choices(SYLLABLES, k=chance.choice((1, 1, 2)))) for _ in range(150)]
    rare = ["".join(chance.choices(SYLLABLES, k=chance.choice((2, 3, 3, 4)))) for _ in range(6000)]
    while True:
        yield [chance.choice(common if chance.random() < 0.45 else rare) for _ in range(chance.randint(20, 120))]


def package(file, types, target, parts, extra):
    """The parts that every Office document has, `parts` {name: text}, and `extra` [(name, bytes)], which are stored as they are."""
    overrides = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in types.items())
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("[Content_Types].xml", f'{HEAD}<Types xmlns="{NAMESPACE}/package/2006/content-types"><Default Extension="rels" '
                     'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
                     f'<Default Extension="png" ContentType="image/png"/>{overrides}</Types>')
        out.writestr("_rels/.rels", f'{HEAD}<Relationships xmlns="{NAMESPACE}/package/2006/relationships"><Relationship Id="rId1" '
                     f'Type="{NAMESPACE}/officeDocument/2006/relationships/officeDocument" Target="{target}"/></Relationships>')
        for name, text in parts.items():
            out.writestr(name, HEAD + text)
        for name, content in extra:
            out.writestr(name, content, zipfile.ZIP_STORED)


def docx(file, texts, extra=()):
    """One part of text with the markup that a word processor writes around it."""
    body = "".join(f'<w:p w:rsidR="00{number:06X}" w:rsidRDefault="00{number:06X}"><w:pPr><w:pStyle w:val="BodyText"/><w:spacing w:after="120"/></w:pPr>' +
                   "".join(f'<w:r><w:rPr><w:lang w:val="en-GB"/></w:rPr><w:t xml:space="preserve">{" ".join(words[at:at + 25])} </w:t></w:r>'
                           for at in range(0, len(words), 25)) + "</w:p>" for number, words in enumerate(texts))
    package(file, {"word/document.xml": TYPES["docx"] + ".main+xml"}, "word/document.xml",
            {"word/document.xml": f'<w:document xmlns:w="{NAMESPACE}/wordprocessingml/2006/main"><w:body>{body}</w:body></w:document>'}, extra)


def xlsx(file, texts, extra=()):
    """A sheet with each word in a cell of its own, by way of the shared strings."""
    words = list(dict.fromkeys(word for words in texts for word in words))
    numbers = {word: number for number, word in enumerate(words)}
    rows = "".join(f'<row r="{row}">' + "".join(f'<c t="s"><v>{numbers[word]}</v></c>' for word in words) + "</row>" for row, words in enumerate(texts, 1))
    main = f"{NAMESPACE}/spreadsheetml/2006/main"
    package(file, {"xl/workbook.xml": TYPES["xlsx"] + ".main+xml", "xl/worksheets/sheet1.xml": OFFICE + ".spreadsheetml.worksheet+xml",
                   "xl/sharedStrings.xml": OFFICE + ".spreadsheetml.sharedStrings+xml"}, "xl/workbook.xml", {
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{NAMESPACE}/officeDocument/2006/relationships"><sheets>'
                           '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{NAMESPACE}/package/2006/relationships"><Relationship Id="rId1" '
                                      f'Type="{NAMESPACE}/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" '
                                      f'Type="{NAMESPACE}/officeDocument/2006/relationships/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">' + "".join(f"<si><t>{word}</t></si>" for word in words) + "</sst>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'}, extra)


def archive(file, members, depth=1):
    """A zip with `members` [(name, bytes)], in as many zips as `depth` says."""
    for level in range(depth, 0, -1):
        out = file if level == 1 else io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
            for name, content in members:
                made.writestr(name, content)
        members = [(f"level{level}.zip", out.getvalue())] if level > 1 else []


def pdf(file, texts, extra=()):
    """Pages of 50 lines, each a compressed stream; the words of a line stand in one string. `extra` [(name, bytes)]: pictures on no page."""
    lines = [" ".join(words[at:at + 11]) for words in texts for at in range(0, len(words), 11)]
    pages = [lines[at:at + 50] for at in range(0, len(lines), 50)]
    objects = ["<</Type/Catalog/Pages 2 0 R>>",
               f"<</Type/Pages/Count {len(pages)}/Kids[{' '.join(f'{4 + 2 * number} 0 R' for number in range(len(pages)))}]>>",
               "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"]
    for number, page in enumerate(pages):
        stream = zlib.compress(("BT /F1 10 Tf 14 TL 50 790 Td\n" + "".join(f"({line}) Tj T*\n" for line in page) + "ET\n").encode())
        objects.append(f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>/Contents {5 + 2 * number} 0 R>>")
        objects.append(f"<</Length {len(stream)}/Filter/FlateDecode>>stream\n".encode() + stream + b"\nendstream")
    for _, content in extra:
        objects.append(b"<</Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray/Filter/DCTDecode/Length %d>>stream\n" % len(content) +
                       content + b"\nendstream")
    out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, one in enumerate(objects):
        places.append(len(out))
        out += b"%d 0 obj\n" % (number + 1) + (one if isinstance(one, bytes) else one.encode()) + b"\nendobj\n"
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % place for place in places)
    whole = out + table + b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))

    if isinstance(file, io.BytesIO):
        file.write(whole)
    else:
        pathlib.Path(file).write_bytes(whole)
