// SPDX-License-Identifier: Apache-2.0
//
// What a program needs to run: the shared libraries that ELF's dynamic section names, found as ld.so(8) finds them. Reads
// 64-bit little-endian files, bounded; runs nothing.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace redoubt::stages::image {

struct ElfDependencies {
  std::string interpreter;           // the dynamic loader; empty for a library
  std::vector<std::string> needed;   // DT_NEEDED
  std::vector<std::string> runpath;  // DT_RUNPATH, else DT_RPATH; "$ORIGIN" not yet replaced
};

// unsupported for a file that is no 64-bit little-endian ELF; invalid_argument for one whose tables lie outside it.
Result<ElfDependencies> read_elf(const std::filesystem::path& file);

struct ProgramFiles {
  std::string interpreter;                                  // path as the program names it
  std::filesystem::path interpreter_file;                   // where it is here
  std::map<std::string, std::filesystem::path> libraries;   // by soname, all that are needed, however deep
};

// not_found names the library that can't be found and who needs it.
Result<ProgramFiles> resolve_program(const std::filesystem::path& program);

}  // namespace redoubt::stages::image
