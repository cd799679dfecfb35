// SPDX-License-Identifier: Apache-2.0
// The readers of containers, a function for each family. Registered in readers.cc.
#pragma once
#include <string_view>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

void read_zip(Context& context);
void read_gzip(Context& context);
void read_zlib(Context& context);
void read_stream(Context& context);   // bzip2, xz, lzma, lzip, zstd, lz4, compress
void read_archive(Context& context);  // what libarchive reads: tar, 7z, cab, cpio, ar, xar, rpm, lha
void read_rar(Context& context);
void read_arj(Context& context);
void read_iso(Context& context);
void read_disk(Context& context);  // FAT, fixed VHD
void read_chm(Context& context);
void read_mscompress(Context& context);  // SZDD, KWAJ
void read_sis(Context& context);
void read_unsupported(Context& context);
void read_mail(Context& context);
void read_mbox(Context& context);
void read_text_carriers(Context& context);  // uuencode, yEnc, BinHex, parts of a mail in text
void read_apple(Context& context);
void read_tnef(Context& context);
// is_webarchive tells whether bytes are a page with all it shows, as Safari keeps one.
bool is_webarchive(std::string_view bytes);
void read_webarchive(Context& context);
void read_cms(Context& context);
void read_pgp(Context& context);

// read_part_in_text finds the files in a part of a mail, header and content, that stands in a text.
void read_part_in_text(Context& context, std::string_view part);

// prepare_archives loads what libarchive would read from files later.
void prepare_archives();

// find_7z and find_rar return where such an archive begins in a program that unpacks itself, or npos. Only a header
// whose checksum is right counts: programs that read those archives hold their marks too.
size_t find_7z(std::string_view bytes);
size_t find_rar(std::string_view bytes);

}  // namespace postern::scan::worker
