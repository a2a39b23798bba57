// SPDX-License-Identifier: MIT
/// What a write to a cgroup file means: small pure functions, one per grammar.
///
/// They accept and refuse exactly what the kernel does, accidents included, because scripts rely on
/// both; what the kernel has not is read strictly. Two families of number meet here and must not be
/// mixed up:
///   strict   the whole text is one number, its base told by its prefix (lib/kstrtox.c, kstrtoull)
///   scanned  decimal digits, whatever follows them is ignored, no overflow (lib/vsprintf.c,
///   sscanf)
/// All take text that has been cut at its first NUL (until_nul). Errors are EINVAL unless told.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "blkio/device_rules.hpp"
#include "blkio/result.hpp"
#include "blkio/types.hpp"

namespace blkio::cgroupfs {

/// Longest write(2) a cgroup file takes; more is E2BIG (fs/kernfs/file.c, atomic_write_len).
inline constexpr std::size_t kMaxWriteBytes = 4096;

/// Blank, \t \n \v \f \r, and byte 0xA0: the kernel's ctype table is Latin-1's (lib/ctype.c).
bool is_space(char c);
std::string_view trim(std::string_view text);
std::string_view trim_front(std::string_view text);
/// The part a C string function sees.
std::string_view until_nul(std::string_view text);

/// A strict number: [+] digits [one \n]; 0x or 0X hexadecimal, leading 0 octal.
/// ERANGE above 2^64-1, and that before anything wrong behind the digits.
Result<std::uint64_t> parse_strict_u64(std::string_view text);

/// A scanned number: white space, then at least one digit; the value is taken modulo 2^64.
std::optional<std::uint64_t> scan_u64(std::string_view text);

struct DeviceRule {
  DeviceNumber device;
  std::string_view value;  ///< what follows the device and its white space; not looked at yet
};
/// `MAJ:MIN`, white space, the value: as block/blk-cgroup.c, blkg_conf_open_bdev. Both numbers are
/// scanned and cut to 32 bits, then packed into a dev_t without masking the minor, so that
/// 6:1048576 is 7:0.
Result<DeviceRule> parse_device_rule(std::string_view text);

/// The value of a throttle rule, a scanned number. 0 and 2^64-1 both mean "no limit": nullopt.
/// iops rules are cut to 32 bits, where 2^32-1 means "no limit" too and 2^32 becomes a limit of 0.
Result<std::optional<std::uint64_t>> parse_throttle_value(std::string_view value, Limit limit);

/// The value of a rule the kernel does not have: decimal digits with nothing behind them but white
/// space, at most `max`.
Result<std::uint64_t> parse_rule_number(std::string_view value, std::uint64_t max);

/// What comes back to a bucket of tokens: `N` each second, `N@Tms` every T ms, or `N/s@Tms`, N a
/// second handed out every T ms. N is at most `max`, T at least 1; white space may follow.
Result<TokenRefill> parse_token_refill(std::string_view value, std::uint64_t max);
/// The shortest of these forms that means the same.
std::string to_text(const TokenRefill& refill);

/// The other device of a rule about two: `MAJ:MIN`, decimal digits with nothing behind them but
/// white space; or `0`, none.
Result<std::optional<DeviceNumber>> parse_other_device(std::string_view value);

/// `N` (base by prefix) or `default N` in a weight_device file: a weight for the whole group.
/// nullopt if the text is neither, and so must be a device rule. An empty text is the number 0.
std::optional<std::uint64_t> parse_group_weight(std::string_view text);
/// The value of a weight_device rule: a scanned number, or `default` alone, which is nullopt.
Result<std::optional<std::uint64_t>> parse_device_weight(std::string_view value);
/// The line `dev weight` above the rules in the documented listing; tools write back what they
/// read.
bool is_weight_listing_header(std::string_view text);

/// An id written into tasks or cgroup.procs: a strict number of 0..2^31-1, white space around it.
Result<pid_t> parse_pid(std::string_view text);

}  // namespace blkio::cgroupfs
