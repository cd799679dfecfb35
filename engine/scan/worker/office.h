// SPDX-License-Identifier: Apache-2.0
// Office: the readers of office documents, and the pieces they share. Each piece reads one structure of hostile bytes
// and puts what it finds into the context.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/scan/worker/context.h"
#include "engine/scan/worker/ole.h"
#include "engine/scan/worker/text_sink.h"

namespace postern::scan::worker {

struct ZipDirectory;

// Readers, one row each in readers.cc.

// read_ole reads compound files of every kind: what makes them a Word, Excel, PowerPoint, Outlook, Publisher, Visio or
// HWP document, an encrypted package, macros, and everything embedded. Also Word and Excel files from before compound
// files.
void read_ole(Context& context);
// read_activemime reads what Office wraps compound files in where it writes them into pages and XML ("editdata.mso").
void read_activemime(Context& context);
// read_xml_document reads documents that are one XML file: Word 2003, pkg:package, flat ODF, SpreadsheetML 2003.
void read_xml_document(Context& context);
void read_rtf(Context& context);
void read_one(Context& context);
void read_wordperfect(Context& context);
void read_access(Context& context);

// Pieces of the archive reader's work.

// read_zip_document reads OOXML, ODF and iWork packages: text, marks, protection. What is embedded in them comes from
// the archive reader, and so do parts that are not what the tables say or that were not read. Others are marked as
// `own`.
void read_zip_document(Context& context, ZipDirectory& directory);

// is_document_part tells whether a member of an OOXML or ODF package that the document's reader has read is one of the
// document's own parts, and so no leaf of its own. `head` is the member's first bytes, since a name proves nothing: XML
// must be of a kind that such parts are, and nothing that programs open by itself.
bool is_document_part(std::string_view name, std::string_view head);
// is_xml_document tells whether read_xml_document reads these bytes.
bool is_xml_document(std::string_view bytes);

// prepare_office loads the digests and ciphers of office encryption; once, before the worker gives up its rights.
void prepare_office();

// Pieces of compound files.

// read_word reads a WordDocument stream; `table0` and `table1` are the streams "0Table" and "1Table". `described` tells
// that a property set says what the document says about itself.
void read_word(Context& context, std::string_view document, std::string_view table0, std::string_view table1,
               bool described = false);
// read_workbook reads a BIFF stream ("Workbook", "Book", or a whole file of BIFF 2 to 4).
void read_workbook(Context& context, std::string_view stream);
// read_slides reads a "PowerPoint Document" stream; `current_user` is the stream "Current User".
void read_slides(Context& context, std::string_view stream, std::string_view current_user);
// art_text gives the text among the properties of a shape (OfficeArtFOPT): WordArt, descriptions; `count` of them are
// in `table`.
void art_text(TextSink& sink, uint32_t count, std::string_view table);
// ArtText does so for drawings that come in pieces, which may end anywhere.
class ArtText {
 public:
  void feed(TextSink& sink, std::string_view bytes);

 private:
  std::string record_;  // the one that is being collected
  uint64_t skip_ = 0;
};
// read_msg reads an Outlook message that is the root of `file`.
void read_msg(Context& context, CompoundFile& file);
// read_encrypted_package reads an encrypted OOXML package, and opens it where the default password does.
void read_encrypted_package(Context& context, std::string_view information, std::string_view package);
// read_properties reads a property set ("\5SummaryInformation").
void read_properties(Context& context, std::string_view stream);
// read_vba reads a VBA project; `storage` holds "dir" and the modules.
void read_vba(Context& context, CompoundFile& file, uint32_t storage);
// has_vba_code tells whether a project has any code, or what is left of some; mark_vba marks the leaf if the project in
// `file` has.
bool has_vba_code(Context& context, CompoundFile& file, uint32_t storage);
void mark_vba(Context& context, CompoundFile& file);
// read_ole10native reads an "\1Ole10Native" stream: what is packed in it is a child.
bool read_ole10native(Context& context, std::string_view stream);
// read_ole_link reads an "\1Ole" stream (MS-OLEDS 2.3.3): what an object is linked to. `link` tells that it is in an
// object whose class says that it is a link.
void read_ole_link(Context& context, std::string_view stream, bool link);
// read_package is the same without the size before it, as in the object data of RTF. false: it is none.
bool read_package(Context& context, std::string_view bytes);
// embed scans bytes out of a document as a child.
bool embed(Context& context, std::string_view bytes, std::string_view name, std::string_view label = {});
// inflate_zlib adds what zlib (or with `raw` deflate) compressed to `out`, as much as the budget allows; false when
// nothing came out.
bool inflate_zlib(Context& context, std::string_view packed, std::string& out, bool raw = false);
// has_known_head tells whether bytes begin as a file worth a look by itself: a program, archive or document.
bool has_known_head(std::string_view bytes);
// carve looks for programs anywhere in `bytes` and scans each as a child; false when there is no use in going on.
bool carve(Context& context, std::string_view bytes);
// read_hwp, read_publisher, read_visio read what their programs keep in a compound file.
void read_hwp(Context& context, CompoundFile& file);
void read_publisher(Context& context, std::string_view quill);
void read_visio(Context& context, std::string_view stream);
// text_runs adds the runs of printable UTF-16 (or ASCII) characters in `bytes`, for formats of which no more is known.
void text_runs(TextSink& sink, std::string_view bytes, bool wide, size_t least);

// plain_header is the text of a spreadsheet's header or footer without the codes ("&L", "&P") in it.
std::string plain_header(std::string_view text);
// decrypt_workbook tries the default password on a workbook with this FILEPASS record; `clear` is the stream in clear
// then, its FILEPASS record blanked out.
bool decrypt_workbook(std::string_view stream, std::string_view filepass, std::string& clear);

// rc4 is that cipher; the key may not be empty.
std::string rc4(std::string_view key, std::string_view bytes);
// decrypt_slides tries the password that PowerPoint uses for presentations which only may not be changed; `clear` is
// the records of the stream then.
bool decrypt_slides(std::string_view stream, std::string_view current_user, std::string& clear);

// decompress_vba undoes the compression of MS-OVBA; nullopt when `bytes` is not so compressed. `made` grows by what
// came out, also where it was all for nothing.
std::optional<std::string> decompress_vba(std::string_view bytes, size_t most, uint64_t* made = nullptr);

// is_remote tells whether a target lies elsewhere: a URL, or a share.
bool is_remote(std::string_view target);

}  // namespace postern::scan::worker
