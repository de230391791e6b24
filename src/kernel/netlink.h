// SPDX-License-Identifier: GPL-2.0-or-later
//
// Netlink: messages to the kernel, and a socket that carries them.
//
// Promises: a request either succeeds or throws mb::Error with the kernel's own sentence (extended acks), such as
//   cannot add 'mbv12' to bridge 'minibridge0': Can not enslave a bridge to a bridge (ELOOP)
// A socket belongs for ever to the network namespace of the thread that opened it, whoever uses it afterwards.
// There are no caches: whoever wants to know something asks the kernel for just that.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netns/unique_fd.h"
#include "src/base/error.h"

struct ifreq;
struct nl_msg;

namespace mb::kernel {

// One message under construction.
class Message {
 public:
  // `header` is the fixed structure of this type of message: ifinfomsg, ifaddrmsg …
  template <class Header>
  Message(int type, int flags, const Header& header) : Message(type, flags) {
    append(&header, sizeof header);
  }
  // Takes over a message that libnl-route built.
  explicit Message(nl_msg* built);

  void put(int attribute, const void* data, std::size_t size);
  void put(int attribute, std::string_view text);  // with its closing zero
  void put_u8(int attribute, std::uint8_t value) { put(attribute, &value, sizeof value); }
  void put_u16(int attribute, std::uint16_t value) { put(attribute, &value, sizeof value); }
  void put_u32(int attribute, std::uint32_t value) { put(attribute, &value, sizeof value); }

  // Attributes that `fill` puts become the content of `attribute`.
  void nest(int attribute, const std::function<void()>& fill);
  // The same after a fixed structure, which some attributes begin with.
  template <class Header>
  void nest(int attribute, const Header& header, const std::function<void()>& fill) {
    nest(attribute, [&] {
      append(&header, sizeof header);
      fill();
    });
  }

  nl_msg* get() const { return message_.get(); }

 private:
  struct Free {
    void operator()(nl_msg* message) const noexcept;
  };

  Message(int type, int flags);
  void append(const void* header, std::size_t size);

  std::unique_ptr<nl_msg, Free> message_;
};

// The attributes of a reply, by number. Views into the reply: valid as long as that is.
class Attributes {
 public:
  Attributes() = default;
  Attributes(const nlmsghdr& reply, std::size_t header_size);
  // What is nested in one attribute (none if there is no such attribute).
  explicit Attributes(const nlattr* nested);

  const nlattr* operator[](int attribute) const;
  bool has(int attribute) const { return (*this)[attribute] != nullptr; }
  Attributes nested(int attribute) const { return Attributes((*this)[attribute]); }
  // Nothing if the attribute is missing or too short.
  std::optional<std::uint8_t> u8(int attribute) const;
  std::optional<std::uint16_t> u16(int attribute) const;
  std::optional<std::uint32_t> u32(int attribute) const;
  std::span<const std::uint8_t> bytes(int attribute) const;
  std::string text(int attribute) const;  // up to the first zero
  // In their order, for lists: calls visit(number, attribute).
  void each(const std::function<void(int, const nlattr*)>& visit) const;

 private:
  template <class T>
  std::optional<T> number(int attribute) const;

  std::span<const std::uint8_t> data_;
};

// The fixed structure at the start of a reply; Error if the reply is too short for it.
const void* header_of(const nlmsghdr& reply, std::size_t size);
template <class Header>
const Header& header_of(const nlmsghdr& reply) {
  return *static_cast<const Header*>(header_of(reply, sizeof(Header)));
}

class Socket {
 public:
  // Opened in the network namespace of the calling thread. `protocol`: NETLINK_ROUTE, NETLINK_SOCK_DIAG …
  explicit Socket(int protocol);

  using OnReply = std::function<void(const nlmsghdr&)>;

  // Sends and waits for the kernel's answer. `attempt` says what is being tried: "cannot add bridge 'b'".
  void request(const Message& message, std::string_view attempt, const OnReply& on_reply = {});
  // The same for a question that has exactly one reply: without an acknowledgement after it.
  void ask(const Message& message, std::string_view attempt, const OnReply& on_reply);

  // All that `parse` (reply -> optional<T>) makes of the replies to a dump request.
  template <class T, class Parse>
  std::vector<T> collect(const Message& message, std::string_view attempt, Parse parse) {
    std::vector<T> found;
    dump(
        message, attempt, [&] { found.clear(); },
        [&](const nlmsghdr& reply) {
          if (std::optional<T> one = parse(reply)) found.push_back(std::move(*one));
        });
    return found;
  }

  // The number of a link in the socket's namespace, its name, and whether it is up. Takes a twentieth of the time that
  // RTM_GETLINK takes to tell all of it.
  std::optional<int> link_index(std::string_view name) const;
  std::optional<std::string> link_name(int index) const;
  bool is_link_up(std::string_view name) const;

  // Many at once, in this order; throws the first failure that is not `tolerated`, after all were tried.
  void request_all(std::span<const Message> messages, std::string_view attempt, int tolerated);

 private:
  // SIOCGIF…; whether there is such a link.
  bool ask_for_link(unsigned long question, std::string_view name, ifreq& answer) const;
  // Numbers them and sends them in one call; `flags` are for the last one, which asks for the answer.
  void send(std::span<const Message> messages, int flags, std::string_view attempt);
  // A dump that the kernel reports as inconsistent is asked for again, `restart` before each attempt.
  void dump(const Message& message, std::string_view attempt, const std::function<void()>& restart,
            const OnReply& on_reply);

  netns::UniqueFd fd_;
  std::uint32_t sequence_ = 0;  // of the last message
};

// "ATTEMPT: SENTENCE (ENAME)"; the C library's words where the kernel has no sentence.
Error netlink_failure(std::string_view attempt, int error_number, std::string_view sentence);

}  // namespace mb::kernel
