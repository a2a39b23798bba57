// SPDX-License-Identifier: MIT
#include "rule_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>

#include "blkio/qemu_names.hpp"
#include "blkio/size_unit.hpp"

namespace blkio::blkioctl {
namespace {

using nlohmann::json;

constexpr std::uint64_t kAboveAll = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kMaxPropertyLength = std::numeric_limits<std::uint32_t>::max();

auto bad(std::string sentence) {
  return failure(0, std::move(sentence));
}

struct Word {
  std::string name;
  std::string value;
};

Result<Word> split(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return bad(fmt::format("{}: should be NAME=VALUE", text));
  }
  return Word{text.substr(0, equals), text.substr(equals + 1)};
}

Result<std::uint64_t> amount_of(const Word& word) {
  const auto amount = parse_amount(word.value);
  if (!amount) {
    return bad(fmt::format("{}={}: should be a number, with K, M, G, Ki, Mi or Gi behind it or not",
                           word.name, word.value));
  }
  return *amount;
}

Result<bool> flag_of(const Word& word) {
  if (word.value == "0" || word.value == "false") return false;
  if (word.value == "1" || word.value == "true") return true;
  return bad(fmt::format("{}={}: should be 0 or 1", word.name, word.value));
}

// ---- QEMU's names ------------------------------------------------------------------------------

/// The later a spelling came, the higher.
enum class Spelling : std::uint8_t { kQmp, kInternal, kProperty, kDrive };
constexpr std::string_view kInternalPrefix = "x-";
constexpr std::string_view kDrivePrefix = "throttling.";

enum class Part : std::uint8_t { kAverage, kMax, kMaxLength, kIopsSize };

struct QemuName {
  std::string qmp;  ///< the name the daemon knows it by
  Part part;
  Spelling spelling;
};

struct KnownName {
  std::string qmp;
  std::string property;
  Part part;
};

std::vector<KnownName> make_known_names() {
  std::vector<KnownName> names;
  const auto add = [&](Part part, std::string_view qmp_end, std::string_view property_end) {
    for (const auto& limit : qemu::kLimitNames) {
      names.push_back({fmt::format("{}{}", limit.qmp, qmp_end),
                       fmt::format("{}{}", limit.properties, property_end), part});
    }
  };
  add(Part::kAverage, "", "");
  add(Part::kMax, qemu::kQmpMax, qemu::kPropertyMax);
  add(Part::kMaxLength, qemu::kQmpMaxLength, qemu::kPropertyMaxLength);
  names.push_back(
      {std::string(qemu::kQmpIopsSize), std::string(qemu::kPropertyIopsSize), Part::kIopsSize});
  return names;
}

const std::vector<KnownName>& known_names() {
  static const std::vector<KnownName> names = make_known_names();
  return names;
}

std::optional<QemuName> qemu_name(std::string_view text) {
  Spelling spelling = Spelling::kProperty;
  const auto prefixed = [&](std::string_view prefix, Spelling by) {
    if (!text.starts_with(prefix)) return;
    text.remove_prefix(prefix.size());
    spelling = by;
  };
  prefixed(kDrivePrefix, Spelling::kDrive);
  if (spelling == Spelling::kProperty) prefixed(kInternalPrefix, Spelling::kInternal);
  for (const KnownName& known : known_names()) {
    if (text == known.property) return QemuName{known.qmp, known.part, spelling};
    const bool bare = spelling == Spelling::kProperty;
    if (bare && text == known.qmp) return QemuName{known.qmp, known.part, Spelling::kQmp};
  }
  return std::nullopt;
}

/// What QEMU checks of a value before it looks at the others.
Result<void> check_alone(const QemuName& name, const Word& word, std::uint64_t amount) {
  if (name.part == Part::kIopsSize && word.value.starts_with('-')) {
    return bad(fmt::format("{}: Property values cannot be negative", word.name));
  }
  const bool bounded = name.part == Part::kMaxLength && name.spelling != Spelling::kQmp;
  if (!bounded || amount <= kMaxPropertyLength) return success();
  // QEMU leaves out this blank; those who look for its words find them.
  const char* const range = name.spelling == Spelling::kInternal ? "therange" : "the range";
  return bad(fmt::format(
      "{} value must be in {} [0, {}]",
      name.spelling == Spelling::kDrive ? word.name.substr(kDrivePrefix.size()) : word.name, range,
      kMaxPropertyLength));
}

/// Puts words into a request and sees that none says what another has said.
class ThrottleReader {
 public:
  Result<void> read(const Word& word) {
    const auto name = qemu_name(word.name);
    if (name) return read_limit(*name, word);
    BLKIO_TRY(note(word.name, word.name, Spelling::kQmp));
    if (word.name == "max_hold") {
      BLKIO_TRY(request_["max_hold"], amount_of(word));
      return success();
    }
    if (word.name == "shared") {
      request_[word.name] = word.value;
      return success();
    }
    if (word.name == "qemu_strict" || word.name == "dry_run") {
      BLKIO_TRY(request_[word.name], flag_of(word));
      return success();
    }
    if (word.name == "group" || word.name == "throttling.group") {
      return bad(fmt::format("{}: the group is the argument before the device", word.name));
    }
    return bad(fmt::format("{}: no such limit", word.name));
  }
  json& request() { return request_; }

 private:
  struct Seen {
    std::string name;
    Spelling spelling;
  };

  Result<void> read_limit(const QemuName& name, const Word& word) {
    BLKIO_TRY(note(name.qmp, word.name, name.spelling));
    BLKIO_TRY(const auto amount, amount_of(word));
    BLKIO_TRY(check_alone(name, word, amount));
    request_["limits"][name.qmp] = amount;
    return success();
  }

  Result<void> note(const std::string& what, const std::string& name, Spelling spelling) {
    const auto [seen, is_new] = seen_.try_emplace(what, Seen{name, spelling});
    if (is_new) return success();
    const Seen& first = seen->second;
    if (first.name == name) return bad(fmt::format("{}: given twice", name));
    const bool first_is_alias = first.spelling < spelling;
    return bad(fmt::format("'{}' and its alias '{}' can't be used at the same time",
                           first_is_alias ? name : first.name, first_is_alias ? first.name : name));
  }

  json request_ = json::object();
  std::map<std::string, Seen> seen_;
};

}  // namespace

std::optional<std::uint64_t> parse_amount(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const std::uint64_t unit = take_size_unit(text);
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return std::nullopt;
  const bool fits = error == std::errc() && number <= kAboveAll / unit;
  if (!negative) return fits ? number * unit : kAboveAll;
  constexpr std::uint64_t kLeast = 1ULL << 63;
  return fits && number * unit <= kLeast ? 0 - number * unit : kAboveAll;
}

Result<json> throttle_request(const std::vector<std::string>& words) {
  ThrottleReader reader;
  for (const std::string& text : words) {
    BLKIO_TRY(const auto word, split(text));
    BLKIO_TRY(reader.read(word));
  }
  return reader.request();
}

Result<json> tokens_request(const std::vector<std::string>& words) {
  json request = json::object();
  for (const std::string& text : words) {
    BLKIO_TRY(const auto word, split(text));
    if (request.contains(word.name)) return bad(fmt::format("{}: given twice", word.name));
    if (word.name == "tokens-max") {
      BLKIO_TRY(request[word.name], amount_of(word));
    } else if (word.name == "tokens-refill" || word.name == "credit") {
      request[word.name] = word.value;
    } else {
      return bad(fmt::format("{}: should be tokens-max, tokens-refill or credit", word.name));
    }
  }
  return request;
}

std::vector<std::string> throttle_names() {
  std::vector<std::string> names;
  for (const KnownName& known : known_names()) names.push_back(known.qmp);
  for (const char* ours : {"max_hold", "qemu_strict", "dry_run", "shared"})
    names.emplace_back(ours);
  return names;
}

}  // namespace blkio::blkioctl
