// SPDX-License-Identifier: Apache-2.0
// scanbench POSTERN-SCAN FOLDER: reads orders from standard input, answers each with a line of JSON. FOLDER holds
// documents (docx, pdf), the words of each in a file of the same name and ".txt", and mails (eml).
//   check                      both ways find the words of every document, in their order; {"same": N} or exit status 1
//   pool|library KIND SECONDS  every file of KIND in turn, in both threads, by scan workers or by the libraries alone
// The libraries alone are what somebody writes who wants the text and trusts the file: poppler's text of each page;
// libarchive's document.xml and expat's character data.
#include <archive.h>
#include <archive_entry.h>
#include <expat.h>
#include <poppler-document.h>
#include <poppler-page.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/scan/client/pool.h"

namespace {

using namespace postern::scan;
using Clock = std::chrono::steady_clock;

constexpr unsigned kThreads = 2;

[[noreturn]] void fail(const std::string& text) {
  std::fprintf(stderr, "scanbench: %s\n", text.c_str());
  std::exit(1);
}

struct File {
  std::string name;
  std::string kind;
  std::string bytes;
};

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

std::string pdf_text(const std::string& bytes) {
  const std::unique_ptr<poppler::document> document(
      poppler::document::load_from_raw_data(bytes.data(), static_cast<int>(bytes.size())));
  std::string text;
  for (int i = 0; document != nullptr && i < document->pages(); ++i) {
    const std::unique_ptr<poppler::page> page(document->create_page(i));
    const poppler::byte_array utf8 = page->text(poppler::rectf(), poppler::page::non_raw_non_physical_layout).to_utf8();
    text.append(utf8.begin(), utf8.end());
    text += '\n';
  }
  return text;
}

void on_characters(void* text, const char* data, int size) {
  static_cast<std::string*>(text)->append(data, static_cast<size_t>(size));
}
void on_end(void* text, const char* name) {
  if (std::string_view(name) == "w:p") static_cast<std::string*>(text)->push_back('\n');
}

std::string docx_text(const std::string& bytes) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> zip(archive_read_new(), archive_read_free);
  archive_read_support_format_zip(zip.get());
  std::string text;
  archive_entry* entry = nullptr;
  if (archive_read_open_memory(zip.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) return text;
  while (archive_read_next_header(zip.get(), &entry) == ARCHIVE_OK) {
    if (std::string_view(archive_entry_pathname(entry)) != "word/document.xml") continue;
    const std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> parser(XML_ParserCreate(nullptr),
                                                                              XML_ParserFree);
    XML_SetUserData(parser.get(), &text);
    XML_SetCharacterDataHandler(parser.get(), on_characters);
    XML_SetEndElementHandler(parser.get(), on_end);
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    while (archive_read_data_block(zip.get(), &block, &size, &offset) == ARCHIVE_OK) {
      if (XML_Parse(parser.get(), static_cast<const char*>(block), static_cast<int>(size), 0) != XML_STATUS_OK) {
        return "";
      }
    }
    if (XML_Parse(parser.get(), "", 0, 1) != XML_STATUS_OK) return "";
  }
  return text;
}

std::string library_text(const File& file) { return file.kind == "pdf" ? pdf_text(file.bytes) : docx_text(file.bytes); }

std::string pool_text(Pool& pool, const File& file) {
  Job job;
  job.bytes = file.bytes;
  job.name = file.name;
  job.is_message = file.kind == "eml";
  Verdict verdict = pool.scan(job);
  if (!verdict.complete()) fail(file.name + " is unscannable: " + std::string(reason_name(verdict.reason())));
  std::string text = std::move(verdict.leaves[0].text);
  for (size_t i = 1; i < verdict.leaves.size(); ++i) text.append(1, '\n').append(verdict.leaves[i].text);
  return text;
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

// cpu is the time that this process, its workers that ended and those that run have used.
double cpu() {
  double sum = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    getrusage(who, &usage);
    sum += seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  }
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream children(task.path() / "children");
    for (pid_t pid = 0; children >> pid;) {
      clockid_t clock = 0;
      timespec time{};
      if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) continue;
      sum += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
    }
  }
  return sum;
}

template <typename Text>
void measure(const std::vector<const File*>& files, double seconds, const Text& text_of) {
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> text{0};
  const double cpu_before = cpu();
  const auto begin = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      while (passed() < seconds) {
        const File& file = *files[next++ % files.size()];
        text += text_of(file).size();
        bytes += file.bytes.size();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double wall = passed();
  std::printf("{\"count\": %llu, \"bytes\": %llu, \"text\": %llu, \"seconds\": %.6f, \"cpu\": %.6f}\n",
              static_cast<unsigned long long>(next), static_cast<unsigned long long>(bytes),
              static_cast<unsigned long long>(text), wall, cpu() - cpu_before);
}

void check(Pool& pool, const std::vector<File>& files, const std::filesystem::path& folder) {
  size_t same = 0;
  for (const File& file : files) {
    if (file.kind == "eml") continue;
    const std::vector<std::string> wanted = words(contents(folder / (file.name + ".txt")));
    if (wanted.empty() || words(library_text(file)) != wanted) fail("the libraries find other words in " + file.name);
    if (words(pool_text(pool, file)) != wanted) fail("the workers find other words in " + file.name);
    ++same;
  }
  // Of a mail, every word of its document is to be there; its own text is more.
  for (const File& file : files) {
    if (file.kind != "eml") continue;
    const std::string document = file.name.substr(0, file.name.size() - 4);
    const std::vector<std::string> wanted = words(contents(folder / (document + ".txt")));
    const std::vector<std::string> found = words(pool_text(pool, file));
    if (std::ranges::search(found, wanted).empty()) fail("the workers find other words in " + file.name);
    ++same;
  }
  std::printf("{\"same\": %zu}\n", same);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: scanbench POSTERN-SCAN FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = argv[2];
  std::vector<File> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string kind = entry.path().extension();
    if (kind == ".txt" || kind.empty()) continue;
    files.push_back({entry.path().filename(), kind.substr(1), contents(entry.path())});
  }
  std::ranges::sort(files, {}, &File::name);
  // "docx", "pdf", and "docx.eml", "pdf.eml" for the mails with them.
  std::map<std::string, std::vector<const File*>> kinds;
  for (const File& file : files) kinds[file.name.substr(file.name.find('.') + 1)].push_back(&file);

  PoolSettings settings;
  settings.program = argv[1];
  settings.workers = kThreads;
  auto pool = Pool::start(settings);
  if (!pool) fail(pool.error().text());
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream order(line);
    std::string way;
    std::string kind;
    double seconds = 0;
    order >> way >> kind >> seconds;
    if (way == "check") {
      check(**pool, files, folder);
    } else if (kinds.contains(kind) && way == "pool") {
      measure(kinds[kind], seconds, [&](const File& file) { return pool_text(**pool, file); });
    } else if (kinds.contains(kind) && way == "library") {
      measure(kinds[kind], seconds, [](const File& file) { return library_text(file); });
    } else {
      fail("no such order: " + line);
    }
    std::fflush(stdout);
  }
  return 0;
}
