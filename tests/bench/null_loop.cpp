// SPDX-License-Identifier: MIT
/// null_loop PATH SIZE_MIB [spin|fill]
///
/// Mounts on the regular file PATH a file of zeros served by the shortest loop there is: one thread
/// reads /dev/fuse and answers at once. What FUSE itself costs, and the yardstick of a transport.
/// With `spin` it never sleeps; with `fill` it makes its zeros anew for every read, as blkio's null
/// device does, instead of answering from memory that is always in the cache. Runs until PATH is
/// unmounted.
#include <string_view>

#include "fuse_file.hpp"

int main(int argc, char** argv) {
  const std::string_view word = argc == 4 ? argv[3] : "";
  if ((argc != 3 && argc != 4) || (argc == 4 && word != "spin" && word != "fill")) {
    std::fputs("usage: null_loop PATH SIZE_MIB [spin|fill]\n", stderr);
    return 2;
  }
  blkio_bench::FuseFile file(argv[1], {.name = "null_loop",
                                       .size = std::strtoull(argv[2], nullptr, 10) << 20,
                                       .background = 65535,
                                       .open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES,
                                       .spin = word == "spin",
                                       .fill = word == "fill"});
  file.run([](std::uint64_t) {});
}
