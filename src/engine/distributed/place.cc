// SPDX-License-Identifier: Apache-2.0
#include "engine/distributed/place.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::engine::distributed {
namespace {

constexpr std::size_t kRanksMax = 1024;

Result<std::size_t> number_in(const Variable& variable, const char* name, std::size_t least, std::size_t most) {
  const char* text = variable(name);
  if (!text || !*text)
    return fail(ErrorCode::invalid_argument, std::string(name) + " is not set", "environment",
                "a job of several processes needs MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE");
  std::size_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || stop != end || value < least || value > most)
    return fail(ErrorCode::invalid_argument,
                std::string(name) + " must be a whole number from " + std::to_string(least) + " to " + std::to_string(most),
                "environment");
  return value;
}

// torchrun meets its own agents at MASTER_PORT, and says so.
bool is_taken_by_agent(const Variable& variable) {
  const char* agent = variable("TORCHELASTIC_USE_AGENT_STORE");
  return agent && std::string_view(agent) == "True";
}

// The port beside one of the agents' own. The system hands out those from 32768 on, to whoever connects or listens anywhere (Linux's
// ip_local_port_range): any of them may be taken, so that the last four digits of such a one stand behind a 2.
std::uint16_t beside(std::uint16_t port) {
  constexpr std::uint16_t kHandedOut = 32768, kNeverHandedOut = 20000;
  if (port < kHandedOut) return port + 1 < kHandedOut ? port + 1 : port - 1;
  return kNeverHandedOut + port % 10000;
}

Result<Place> place_of_variables(const Variable& variable) {
  Place place;
  place.ranks = TRY(number_in(variable, "WORLD_SIZE", 1, kRanksMax));
  place.rank = TRY(number_in(variable, "RANK", 0, place.ranks - 1));
  if (place.ranks == 1) return place;
  place.master_port = static_cast<std::uint16_t>(TRY(number_in(variable, "MASTER_PORT", 1, 65535)));
  if (is_taken_by_agent(variable)) place.master_port = beside(place.master_port);
  const char* master = variable("MASTER_ADDR");
  if (!master || !*master) return fail(ErrorCode::invalid_argument, "MASTER_ADDR is not set", "environment");
  place.master_host = master;
  if (const char* host = variable("HOSTNAME")) place.host = host;
  return place;
}

Result<Place> place_of_hosts(const Variable& variable, const std::filesystem::path& file) {
  const std::string where = file.string();
  const Json config = TRY(parse_json(TRY(read_text_file(file, 1 << 20)), where));
  std::vector<std::string> hosts;
  for (const auto& host : TRY(json_array(config, "hosts", where))) {
    if (!host.is_string()) return fail(ErrorCode::invalid_argument, "a host is not a string", where + ": hosts");
    hosts.push_back(host.get<std::string>());
  }
  Place place;
  place.host = TRY(json_string(config, "current_host", where));
  std::sort(hosts.begin(), hosts.end());
  const auto own = std::find(hosts.begin(), hosts.end(), place.host);
  if (own == hosts.end() || std::adjacent_find(hosts.begin(), hosts.end()) != hosts.end() || hosts.size() > kRanksMax)
    return fail(ErrorCode::invalid_argument, "current_host is not one of the hosts, or a host is named twice", where);
  place.rank = static_cast<std::size_t>(own - hosts.begin());
  place.ranks = hosts.size();
  place.master_host = hosts.front();
  if (variable("MASTER_PORT")) place.master_port = static_cast<std::uint16_t>(TRY(number_in(variable, "MASTER_PORT", 1, 65535)));
  return place;
}

}  // namespace

Result<Place> read_place(const Variable& variable, const std::filesystem::path& resource_config) {
  if (variable("RANK") || variable("WORLD_SIZE")) return place_of_variables(variable);
  if (is_there(resource_config)) return place_of_hosts(variable, resource_config);
  return Place{};
}

}  // namespace redoubt::engine::distributed
