// SPDX-License-Identifier: Apache-2.0
//
// OSV records, indexes of feeds, VEX documents, vectors and versions; the first byte chooses. What an index gives back is what went in.
#include "advisories/cvss.h"
#include "advisories/feed_index.h"
#include "advisories/osv_record.h"
#include "advisories/vex.h"
#include "base/check.h"
#include "base/memory_object.h"
#include "fuzz_input.h"
#include "packages/version_order.h"

using namespace redoubt;
using namespace redoubt::advisories;

namespace {

void fuzz_record(std::string text) {
  static OsvParser parser;
  const auto record = parser.parse(text, "record");
  if (!record) return;
  for (const auto& advisory : record->advisories) {
    const auto back = decode_advisory(encode_advisory(advisory), "entry");
    CHECK(back && back->id == advisory.id && back->ranges == advisory.ranges && back->versions == advisory.versions);
    (void)affected_until(advisory, "1.0.0");
  }
}

void fuzz_versions(std::string_view text) {
  const auto middle = text.find('\n');
  if (middle == text.npos) return;
  const auto a = text.substr(0, middle), b = text.substr(middle + 1);
  for (const char* ecosystem : {"Debian", "PyPI", "npm", "Maven", "Alpine", "Rocky Linux", "RubyGems"}) {
    CHECK(packages::compare_versions(ecosystem, a, b) == -packages::compare_versions(ecosystem, b, a));
    CHECK(packages::compare_versions(ecosystem, a, a) == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView bytes(data + 1, size - 1);
  switch (data[0] % 5) {
    case 0: fuzz_record(to_text(bytes)); break;
    case 1:
      if (const auto index = FeedIndex::open(std::make_shared<MemoryObject>(Bytes(bytes.begin(), bytes.end())), "index")) (void)index->advisories("PyPI/a");
      break;
    case 2: (void)read_vex(text_of(bytes), "vex", {"image:v1", {}}, TimePoint{}); break;
    case 3: (void)cvss_score(text_of(bytes)); break;
    default: fuzz_versions(text_of(bytes)); break;
  }
  return 0;
}
