# SPDX-License-Identifier: MIT
# Flags every target of the project is built with.
add_library(blkio_flags INTERFACE)
target_compile_options(blkio_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                       -Wnon-virtual-dtor -Woverloaded-virtual)

set(BLKIO_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them: address,undefined or thread")
if(BLKIO_SANITIZE)
  target_compile_options(blkio_flags INTERFACE -fsanitize=${BLKIO_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(blkio_flags INTERFACE -fsanitize=${BLKIO_SANITIZE})
  # g++ 12 warns of its own library under -fsanitize: <regex> and fences it cannot follow.
  target_compile_options(blkio_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
endif()
