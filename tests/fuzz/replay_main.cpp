// SPDX-License-Identifier: MIT
// Runs a fuzz target once on each file of the directories and files named: the regression test of
// what fuzzing has found, with any compiler.
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz/fuzz_target.hpp"

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> inputs_of(const fs::path& place) {
  if (!fs::is_directory(place)) return {place};
  std::vector<fs::path> inputs;
  for (const auto& entry : fs::directory_iterator(place)) inputs.push_back(entry.path());
  return inputs;
}

void replay(const fs::path& input) {
  std::ifstream stream(input, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + input.string());
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  std::cout << input.filename().string() << std::endl;  // the last one named is the culprit
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

int main(int argc, char** argv) try {
  std::size_t replayed = 0;
  for (int i = 1; i < argc; ++i) {
    for (const fs::path& input : inputs_of(argv[i])) {
      replay(input);
      ++replayed;
    }
  }
  std::cout << replayed << " inputs replayed\n";
  return replayed > 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
