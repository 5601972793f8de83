// SPDX-License-Identifier: Apache-2.0
#include "stages/image/elf.h"

#include <elf.h>

#include <cstring>
#include <deque>

#include "base/file.h"

namespace redoubt::stages::image {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kHeadersMax = 256, kDynamicMax = 4096, kStringsBytesMax = 256 << 20, kLibrariesMax = 512;
// Debian's loader has these built in (glibc's multiarch paths); /etc/ld.so.conf is the machine's own and not looked at.
constexpr const char* kDefaultFolders[] = {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"};

class Reader {
 public:
  explicit Reader(const fs::path& path) : path_(path) {}

  Result<ElfDependencies> read() {
    file_ = TRY(FileReader::open(path_));
    const auto header = TRY(value<Elf64_Ehdr>(0));
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
      return fail(ErrorCode::unsupported, "not a 64-bit little-endian ELF file", path_.string());
    }
    if (header.e_phnum > kHeadersMax || header.e_phentsize != sizeof(Elf64_Phdr)) return bad();
    for (std::size_t i = 0; i < header.e_phnum; ++i) headers_.push_back(TRY(value<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr))));
    ElfDependencies found;
    for (const auto& segment : headers_) {
      if (segment.p_type == PT_INTERP) found.interpreter = TRY(text(segment.p_offset, segment.p_filesz));
      if (segment.p_type == PT_DYNAMIC) TRY(read_dynamic(segment, found));
    }
    return found;
  }

 private:
  tl::unexpected<Error> bad() const { return fail(ErrorCode::invalid_argument, "an ELF file with tables outside of it", path_.string()); }

  template <class T>
  Result<T> value(std::uint64_t offset) const {
    T out;
    if (!file_->read_at(offset, {reinterpret_cast<std::uint8_t*>(&out), sizeof out})) return bad();
    return out;
  }

  Result<std::string> text(std::uint64_t offset, std::uint64_t size_max) const {
    if (offset >= file_->size()) return bad();
    std::string out(static_cast<std::size_t>(std::min<std::uint64_t>({size_max, 4096, file_->size() - offset})), '\0');
    TRY(file_->read_at(offset, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()}));
    const auto end = out.find('\0');
    if (end == out.npos) return bad();
    out.resize(end);
    return out;
  }

  // The place in the file of an address in memory.
  Result<std::uint64_t> offset_of(std::uint64_t address) const {
    for (const auto& segment : headers_) {
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr < segment.p_filesz) return segment.p_offset + (address - segment.p_vaddr);
    }
    return bad();
  }

  Status read_dynamic(const Elf64_Phdr& segment, ElfDependencies& found) {
    std::vector<Elf64_Dyn> entries;
    std::uint64_t strings_address = 0, strings_size = 0;
    for (std::size_t i = 0; i < segment.p_filesz / sizeof(Elf64_Dyn) && i < kDynamicMax; ++i) {
      entries.push_back(TRY(value<Elf64_Dyn>(segment.p_offset + i * sizeof(Elf64_Dyn))));
      if (entries.back().d_tag == DT_NULL) break;
      if (entries.back().d_tag == DT_STRTAB) strings_address = entries.back().d_un.d_ptr;
      if (entries.back().d_tag == DT_STRSZ) strings_size = entries.back().d_un.d_val;
    }
    if (strings_size > kStringsBytesMax) return bad();
    const std::uint64_t strings = TRY(offset_of(strings_address));
    std::string rpath, runpath;
    for (const auto& entry : entries) {
      const bool wanted = entry.d_tag == DT_NEEDED || entry.d_tag == DT_RUNPATH || entry.d_tag == DT_RPATH;
      if (!wanted) continue;
      if (entry.d_un.d_val >= strings_size) return bad();
      const std::string word = TRY(text(strings + entry.d_un.d_val, strings_size - entry.d_un.d_val));
      if (entry.d_tag == DT_NEEDED) found.needed.push_back(word);
      if (entry.d_tag == DT_RUNPATH) runpath = word;
      if (entry.d_tag == DT_RPATH) rpath = word;
    }
    const std::string& paths = runpath.empty() ? rpath : runpath;
    for (std::size_t from = 0; from < paths.size();) {
      const auto colon = std::min(paths.find(':', from), paths.size());
      if (colon > from) found.runpath.push_back(paths.substr(from, colon - from));
      from = colon + 1;
    }
    return {};
  }

  fs::path path_;
  std::unique_ptr<FileReader> file_;
  std::vector<Elf64_Phdr> headers_;
};

std::string replace_origin(std::string folder, const fs::path& file) {
  for (const char* name : {"$ORIGIN", "${ORIGIN}"}) {
    if (const auto at = folder.find(name); at != folder.npos) folder.replace(at, std::strlen(name), fs::absolute(file).parent_path().string());
  }
  return folder;
}

Result<fs::path> find_library(const std::string& name, const fs::path& needed_by, const std::vector<std::string>& runpath) {
  if (name.find('/') != name.npos) return fs::path(name);
  for (const auto& folder : runpath) {
    const fs::path candidate = fs::path(replace_origin(folder, needed_by)) / name;
    if (is_plain_file(candidate)) return candidate;
  }
  for (const char* folder : kDefaultFolders) {
    if (is_plain_file(fs::path(folder) / name)) return fs::path(folder) / name;
  }
  return fail(ErrorCode::not_found, "a shared library can't be found: " + name, needed_by.string(), "install it where this user may read it, or build the engine again");
}

}  // namespace

Result<ElfDependencies> read_elf(const fs::path& file) { return Reader(file).read(); }

Result<ProgramFiles> resolve_program(const fs::path& program) {
  ProgramFiles files;
  files.interpreter = TRY(read_elf(program)).interpreter;
  if (files.interpreter.empty()) return fail(ErrorCode::unsupported, "the program names no dynamic loader", program.string());
  files.interpreter_file = files.interpreter;
  // Breadth first, as the loader searches; a library inherits the program's DT_RPATH at most, which Debian's toolchain no
  // longer writes, so each file's own RUNPATH decides.
  std::deque<fs::path> open = {program};
  while (!open.empty()) {
    const fs::path file = open.front();
    open.pop_front();
    const auto dependencies = TRY(read_elf(file));
    for (const auto& name : dependencies.needed) {
      if (files.libraries.contains(name) || name == files.interpreter_file.filename()) continue;
      if (files.libraries.size() >= kLibrariesMax) return fail(ErrorCode::limit_exceeded, "the program needs too many libraries", program.string());
      const fs::path found = TRY(find_library(name, file, dependencies.runpath));
      files.libraries[name] = found;
      open.push_back(found);
    }
  }
  return files;
}

}  // namespace redoubt::stages::image
