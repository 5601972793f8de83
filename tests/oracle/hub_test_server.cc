// SPDX-License-Identifier: Apache-2.0
//
// The mirror over FOLDER/root with the token "hf_oracle_token", for clients in other languages to judge: writes FOLDER/ca.pem,
// prints its port, and serves until its stdin ends.
#include <cstdio>
#include <filesystem>

#include "http/testing_client.h"
#include "hub/server.h"

using namespace redoubt;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  auto certificate = http::testing::make_test_certificate();
  if (!write_file(folder / "ca.pem", certificate.ca_pem)) return 1;
  hub::Options options;
  options.root = folder / "root";
  options.certificate_pem = certificate.certificate_pem;
  options.private_key_pem = certificate.private_key_pem;
  options.token = Secret(std::string_view("hf_oracle_token"));
  const auto server = hub::HubServer::start(std::move(options));
  if (!server) return 1;
  std::printf("%d\n", (*server)->port());
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
  (*server)->stop();
  return 0;
}
