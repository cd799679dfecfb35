// SPDX-License-Identifier: Apache-2.0
// Which reader reads which type.
#include "engine/scan/worker/readers.h"

#include "engine/scan/worker/containers.h"

namespace postern::scan::worker {
namespace {

// Containers first, then documents; by file.
constexpr Reading kReadings[] = {
    {FileType::zip, read_zip},           {FileType::jar, read_zip},
    {FileType::epub, read_zip},          {FileType::xps, read_zip},
    {FileType::gzip, read_gzip},         {FileType::zlib, read_zlib},
    {FileType::bz2, read_stream},        {FileType::xz, read_stream},
    {FileType::lzma, read_stream},       {FileType::lzip, read_stream},
    {FileType::zstd, read_stream},       {FileType::lz4, read_stream},
    {FileType::compress, read_stream},   {FileType::tar, read_archive},
    {FileType::type_7z, read_archive},   {FileType::cab, read_archive},
    {FileType::cpio, read_archive},      {FileType::ar, read_archive},
    {FileType::xar, read_archive},       {FileType::rpm, read_archive},
    {FileType::lha, read_archive},       {FileType::rar, read_rar},
    {FileType::arj, read_arj},           {FileType::iso, read_iso},
    {FileType::bz, read_unsupported},    {FileType::lzop, read_unsupported},
    {FileType::lrzip, read_unsupported}, {FileType::snappy, read_unsupported},
    {FileType::ace, read_unsupported},   {FileType::arc, read_unsupported},
    {FileType::alz, read_unsupported},   {FileType::sit, read_unsupported},
    {FileType::zoo, read_unsupported},   {FileType::udf, read_unsupported},
    {FileType::img, read_unsupported},   {FileType::vhd, read_unsupported},
    {FileType::vhdx, read_unsupported},  {FileType::dmg, read_unsupported},
    {FileType::pst, read_unsupported},
};

}  // namespace

std::span<const Reading> readings() { return kReadings; }

}  // namespace postern::scan::worker
