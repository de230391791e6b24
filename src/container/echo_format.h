// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the test server says, and what it understands: pure text, no sockets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "src/model/address.h"

namespace mb::container {

struct SocketAddress {
  IpAddress address;
  std::uint16_t port = 0;

  std::string str() const;  // "198.51.100.9:80", "[2001:db8::9]:80"
  bool operator==(const SocketAddress&) const = default;
};

// Where a packet was sent before its destination was rewritten, or the errno with which the kernel says that it does
// not know.
using OriginalDestination = std::variant<SocketAddress, int>;

// One client as the server sees it.
struct Sighting {
  SocketAddress source;
  SocketAddress destination;
  OriginalDestination original;
};

// "source{ip: A, port: N}; dest{…}; original dest{…}" and a newline. The shape is a promise to scripts that read it.
std::string as_line(const Sighting& seen);
// The other way round; nothing if the text is not such a line.
std::optional<Sighting> parse_line(std::string_view text);
// {"source":{"ip","port"},"dest":{…},"original_dest":{"ip","port"} or {"strerror","errno"}} and a newline.
std::string as_json(const Sighting& seen);

// Whether this text is an answer of ours: two test servers must not answer each other's datagrams for ever.
bool is_answer(std::string_view datagram);

enum class Speech : std::uint8_t {
  unclear,  // could still become an HTTP request
  http,     // begins with an HTTP/1.x request line (RFC 9112, section 3)
  other,
};
// What the first bytes of a connection are.
Speech recognise(std::string_view begin);

// The empty line that ends the head of a request has come.
bool has_whole_head(std::string_view request);
// The Accept field names application/json (and does not weigh it with q=0).
bool wants_json(std::string_view request);
// The complete response; a HEAD request gets the same without the body.
std::string http_response(std::string_view request, const Sighting& seen);

}  // namespace mb::container
