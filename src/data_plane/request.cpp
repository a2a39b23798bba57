// SPDX-License-Identifier: MIT
#include "request.hpp"

#include <new>

namespace blkio::data_plane {

Request* RequestPool::allocate() {
  if (free_.empty()) {
    chunks_.push_back(std::make_unique<Request[]>(kChunk));
    free_.reserve(chunks_.size() * kChunk);
    for (std::size_t i = 0; i < kChunk; ++i) free_.push_back(&chunks_.back()[i]);
  }
  Request* request = free_.back();
  free_.pop_back();
  return request;
}

void RequestPool::release(Request* request) {
  request->~Request();
  new (request) Request();
  free_.push_back(request);
}

}  // namespace blkio::data_plane
