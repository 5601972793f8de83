// SPDX-License-Identifier: Apache-2.0
//
// Other files that an HDF5 file has its reader open: a dataset whose bytes lie elsewhere, a link to an object of another file, a dataset
// that is put together of other files' (HDF5 File Format Specification 3.0, IV.A.2.h, IV.A.2.g and IV.A.2.i).
#pragma once

#include <optional>

#include "base/stream.h"

namespace redoubt::model_scan {

struct Hdf5Reference {
  const char* what;
  std::uint64_t offset = 0;
};

// Where an HDF5 file's superblock stands: at its start, or behind a user block of 512 bytes or any power of two more. Nothing where there is none.
Result<std::optional<std::uint64_t>> find_superblock(const RandomAccess& object);

// The first of them, wherever its message stands, or what keeps one from being found. Errors are those of reading.
Result<std::optional<Hdf5Reference>> find_hdf5_reference(const RandomAccess& object);

}  // namespace redoubt::model_scan
