// SPDX-License-Identifier: Apache-2.0
// Readers of what is text: plain and scripts, HTML, XML, vCard and iCalendar, header fields. PDF is in pdf.h.
#pragma once
#include <string_view>

#include "engine/scan/worker/context.h"

namespace postern::scan::worker {

// read_text reads text without markup, CSV, JSON and the sources of scripts; where a leaf is also of a type below, that
// one's reader gives the text.
void read_text(Context& context);
void read_html(Context& context);
// read_xml reads any XML, SVG too; XHTML is read as HTML.
void read_xml(Context& context);
// read_vcard reads vCard and iCalendar, whose lines are the same (RFC 6350 3.2, RFC 5545 3.1).
void read_vcard(Context& context);
// read_headers reads header fields of messages and delivery reports, decoded.
void read_headers(Context& context);

// markup_text adds what tags and comments leave of `utf8` and reports what is active in it: XML that is not well-formed
// is read by it too.
void markup_text(Context& context, std::string_view utf8);

// prepare_text loads what charset conversion reads from files; once, before the worker gives up its rights.
void prepare_text();

}  // namespace postern::scan::worker
