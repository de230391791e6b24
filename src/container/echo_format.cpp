// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/container/echo_format.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"

namespace mb::container {
namespace {

constexpr std::string_view kSpace = " \t\r";
// Longer than any method in use; what goes on without a space is no request.
constexpr std::size_t kLongestMethod = 16;

std::string line_part(const SocketAddress& end) {
  return fmt::format("{{ip: {}, port: {}}}", end.address.str(), end.port);
}

std::string line_part(int error) { return fmt::format("{{strerror: {}, errno: {}}}", std::strerror(error), error); }

// Neither an address nor a sentence of the C library needs escaping.
std::string json_part(const SocketAddress& end) {
  return fmt::format(R"({{"ip":"{}","port":{}}})", end.address.str(), end.port);
}

std::string json_part(int error) {
  return fmt::format(R"({{"strerror":"{}","errno":{}}})", std::strerror(error), error);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

// "q=0", "q=0.0" …: RFC 9110, section 12.4.2.
bool is_refusal(std::string_view parameter) {
  parameter = trimmed(parameter);
  if (parameter.size() < 3 || lower(parameter[0]) != 'q' || parameter[1] != '=') return false;
  return parameter.find_first_not_of("0.", 2) == std::string_view::npos;
}

bool accepts_json(std::string_view media_range) {
  const auto parts = split(media_range, ';');
  return equal_ignoring_case(trimmed(parts.front()), "application/json") &&
         std::none_of(parts.begin() + 1, parts.end(), is_refusal);
}

SocketAddress scan_end(Scanner& scan) {
  SocketAddress end;
  scan.expect('{');
  if (!scan.accept("ip: ")) scan.fail("no address");
  end.address = IpAddress::parse(scan.until(","));
  if (!scan.accept(", port: ")) scan.fail("no port");
  end.port = static_cast<std::uint16_t>(scan.number("a port", 0, 65535));
  scan.expect('}');
  return end;
}

OriginalDestination scan_original(Scanner& scan) {
  if (!scan.rest().starts_with("{strerror: ")) return scan_end(scan);
  scan.until(",");
  if (!scan.accept(", errno: ")) scan.fail("no errno");
  const auto number = static_cast<int>(scan.number("an errno", 1, 4095));
  scan.expect('}');
  return number;
}

}  // namespace

std::string SocketAddress::str() const {
  return address.family() == Family::v6 ? fmt::format("[{}]:{}", address.str(), port)
                                        : fmt::format("{}:{}", address.str(), port);
}

std::string as_line(const Sighting& seen) {
  return fmt::format("source{}; dest{}; original dest{}\n", line_part(seen.source), line_part(seen.destination),
                     std::visit([](const auto& known) { return line_part(known); }, seen.original));
}

std::optional<Sighting> parse_line(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  Scanner scan("line of the test server", text);
  try {
    Sighting seen;
    if (!scan.accept("source")) return std::nullopt;
    seen.source = scan_end(scan);
    if (!scan.accept("; dest")) return std::nullopt;
    seen.destination = scan_end(scan);
    if (!scan.accept("; original dest")) return std::nullopt;
    seen.original = scan_original(scan);
    scan.expect_end();
    return seen;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string as_json(const Sighting& seen) {
  return fmt::format(R"({{"source":{},"dest":{},"original_dest":{}}})"
                     "\n",
                     json_part(seen.source), json_part(seen.destination),
                     std::visit([](const auto& known) { return json_part(known); }, seen.original));
}

bool is_answer(std::string_view datagram) { return datagram.starts_with("source{ip: "); }

Speech recognise(std::string_view begin) {
  const std::string_view line = begin.substr(0, begin.find('\n'));
  const bool line_ended = line.size() < begin.size();
  const Speech so_far = line_ended ? Speech::other : Speech::unclear;

  const auto method_end = std::find_if_not(line.begin(), line.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  const auto method_size = static_cast<std::size_t>(method_end - line.begin());
  if (method_size > kLongestMethod) return Speech::other;
  if (method_size == line.size()) return so_far;
  if (method_size == 0 || line[method_size] != ' ') return Speech::other;

  const std::string_view rest = line.substr(method_size + 1);
  const auto target_end = rest.find(' ');
  if (target_end == 0) return Speech::other;
  if (target_end == std::string_view::npos || !line_ended) return so_far;
  return rest.substr(target_end + 1).starts_with("HTTP/1.") ? Speech::http : Speech::other;
}

bool has_whole_head(std::string_view request) {
  return request.find("\r\n\r\n") != std::string_view::npos || request.find("\n\n") != std::string_view::npos;
}

bool wants_json(std::string_view request) {
  for (const std::string_view line : split(request, '\n')) {
    if (trimmed(line).empty()) return false;  // the body begins
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !equal_ignoring_case(line.substr(0, colon), "accept")) continue;
    const auto ranges = split(line.substr(colon + 1), ',');
    if (std::any_of(ranges.begin(), ranges.end(), accepts_json)) return true;
  }
  return false;
}

std::string http_response(std::string_view request, const Sighting& seen) {
  const bool json = wants_json(request);
  const std::string body = json ? as_json(seen) : as_line(seen);
  return fmt::format(
      "HTTP/1.1 200 OK\r\n"
      "Content-Type: {}\r\n"
      "Content-Length: {}\r\n"
      "Cache-Control: no-store\r\n"
      "Connection: close\r\n"
      "\r\n"
      "{}",
      json ? "application/json" : "text/plain; charset=utf-8", body.size(), request.starts_with("HEAD ") ? "" : body);
}

}  // namespace mb::container
