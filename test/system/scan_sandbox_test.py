#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""scan_sandbox_test.py SCAN-FILE POSTERN-SCAN [CORPUS]: a worker without rights finds in a file what the same code finds with all of them: no
system call, file or memory that a reader needs is missing there. Over files of many types made here, and over the corpus where there is one."""
import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile

FILES_A_RUN = 100


def samples(directory):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "some text\n" * 1000)
        archive.writestr("b.html", "<html><body><p>text</p></body></html>")
    document = io.BytesIO()
    with zipfile.ZipFile(document, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
                         '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.'
                         'document.main+xml"/></Types>')
        archive.writestr("word/document.xml", '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r>'
                         '<w:t>words</w:t></w:r></w:p></w:body></w:document>')
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as archive:
        member = tarfile.TarInfo("in.zip")
        member.size = len(inner.getvalue())
        archive.addfile(member, io.BytesIO(inner.getvalue()))
    pdf = (b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
           b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F1<</Type/Font/Subtype/Type1"
           b"/BaseFont/Helvetica>>>>>>>>endobj\n4 0 obj<</Length 37>>stream\nBT /F1 12 Tf 10 10 Td (words) Tj ET\n\nendstream endobj\n"
           b"trailer<</Root 1 0 R>>\n")
    files = {"a.zip": inner.getvalue(), "b.docx": document.getvalue(), "c.tar.xz": tar.getvalue(), "d.pdf": pdf,
             "e.txt": "plain, with ümlauts\n".encode("iso-8859-1") * 100, "f.html": b"<html><script>x()</script><p>text</html>",
             "g.rtf": b"{\\rtf1\\ansi some {\\b bold} text\\par}", "h.gz": gzip.compress(b"x" * 100000), "i.eml":
             b"From: a@example.org\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n"
             b"Content-Type: application/octet-stream; name=x.bin\nContent-Transfer-Encoding: base64\n\nTVqQAAMAAAA=\n--b--\n",
             "j.csv": b"a,b\n1,2\n", "k.json": b'{"a": [1, 2]}', "l.vcf": b"BEGIN:VCARD\nVERSION:3.0\nFN:Name\nEND:VCARD\n", "m.exe": b"MZ" + bytes(200),
             "n.png": b"\x89PNG\r\n\x1a\n" + bytes(100), "o.bin": bytes(range(256)) * 100, "p.empty": b"", "q.doc":
             b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "r.large": os.urandom(9 << 20)}
    paths = []
    for name, content in files.items():
        paths.append(os.path.join(directory, name))
        with open(paths[-1], "wb") as file:
            file.write(content)
    return paths


def main():
    scan_file, worker = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as directory:
        paths = samples(directory)
        for corpus in sys.argv[3:]:
            # What takes long is timed by its own tests; these would be cut at another place each time.
            paths += sorted(os.path.join(folder, name) for folder, _, names in os.walk(corpus) for name in names
                            if os.path.getsize(os.path.join(folder, name)) < 4 << 20)
        faults = []
        for start in range(0, len(paths), FILES_A_RUN):
            some = paths[start:start + FILES_A_RUN]
            free = subprocess.run([scan_file, "--text", *some], stdout=subprocess.PIPE, check=True).stdout
            pooled = subprocess.run([scan_file, "--text", "--pool=" + worker, *some], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
            if pooled.stderr:
                faults.append(pooled.stderr.decode())
            rows = [set(out.splitlines()) for out in (free, pooled.stdout)]
            for row in sorted(rows[0] ^ rows[1])[:20]:
                if b'"reason":"time"' not in row:
                    faults.append(("without: " if row in rows[0] else "within: ") + row.decode()[:400])
    print("\n".join(faults))
    print(f"{len(paths)} files, {len(faults)} differences")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
