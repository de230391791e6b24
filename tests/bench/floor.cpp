// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/floor.h"

#include <net/if.h>  // before the kernel's and libiptc's headers

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libiptc/libiptc.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>

#include "netns/pin.h"
#include "src/model/chains.h"

namespace mb::bench {
namespace {

constexpr std::string_view kPeer = "eth0";
constexpr unsigned char kRouteProtocol = 109;  // the engine's

[[noreturn]] void fail(const std::string& what, int error = errno) {
  throw std::system_error(error, std::generic_category(), "floor: " + what);
}

void must(bool done, const char* what) {
  if (!done) fail(what);
}

// Messages that go to the kernel in one piece. Only the last one is acknowledged; an error is reported for any.
class Batch {
 public:
  template <class Header>
  void begin(std::uint16_t type, int flags, const Header& header) {
    end();
    start_ = size_;
    nlmsghdr head{};
    head.nlmsg_type = type;
    head.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    head.nlmsg_seq = ++sequence_;
    append(&head, sizeof head);
    append(&header, sizeof header);
  }

  void put(int attribute, const void* data, std::size_t size) {
    const rtattr head{static_cast<unsigned short>(RTA_LENGTH(size)), static_cast<unsigned short>(attribute)};
    append(&head, sizeof head);
    append(data, size);
  }
  void put(int attribute, std::string_view text) {
    const std::string closed(text);
    put(attribute, closed.c_str(), closed.size() + 1);
  }
  template <class Number>
  void put_number(int attribute, Number value) {
    put(attribute, &value, sizeof value);
  }
  template <class Fill>
  void nest(int attribute, Fill fill) {
    const std::size_t at = size_;
    put(attribute | NLA_F_NESTED, nullptr, 0);
    fill();
    auto* head = reinterpret_cast<rtattr*>(buffer_.data() + at);
    head->rta_len = static_cast<unsigned short>(size_ - at);
  }
  void append_header(const ifinfomsg& header) { append(&header, sizeof header); }

  // Sends, waits for the answer to the last message, which is a reply (GETLINK) or an acknowledgement.
  // Returns the index in the last reply about a link.
  int send(int socket) {
    end();
    auto* last = reinterpret_cast<nlmsghdr*>(buffer_.data() + start_);
    if (last->nlmsg_type != RTM_GETLINK) last->nlmsg_flags |= NLM_F_ACK;
    must(::send(socket, buffer_.data(), size_, 0) == static_cast<ssize_t>(size_), "send");
    return receive(socket);
  }

 private:
  void append(const void* data, std::size_t size) {
    if (size_ + NLMSG_ALIGN(size) > buffer_.size()) throw std::length_error("floor: the batch is full");
    if (size != 0) std::memcpy(buffer_.data() + size_, data, size);
    size_ += NLMSG_ALIGN(size);
  }

  void end() {
    if (size_ > start_)
      reinterpret_cast<nlmsghdr*>(buffer_.data() + start_)->nlmsg_len = static_cast<std::uint32_t>(size_ - start_);
  }

  int receive(int socket) const {
    alignas(nlmsghdr) std::array<char, 32768> answer;
    int index = 0;
    while (true) {
      const ssize_t got = ::recv(socket, answer.data(), answer.size(), 0);
      must(got > 0, "recv");
      auto left = static_cast<unsigned>(got);
      for (auto* reply = reinterpret_cast<nlmsghdr*>(answer.data()); NLMSG_OK(reply, left);
           reply = NLMSG_NEXT(reply, left)) {
        if (reply->nlmsg_type == NLMSG_ERROR) {
          const int error = static_cast<const nlmsgerr*>(NLMSG_DATA(reply))->error;
          if (error != 0) fail("message " + std::to_string(reply->nlmsg_seq), -error);
        }
        if (reply->nlmsg_type == RTM_NEWLINK) index = static_cast<const ifinfomsg*>(NLMSG_DATA(reply))->ifi_index;
        if (reply->nlmsg_seq == sequence_) return index;
      }
    }
  }

  alignas(nlmsghdr) std::array<char, 4096> buffer_{};
  std::size_t size_ = 0;
  std::size_t start_ = 0;
  std::uint32_t sequence_ = 0;
};

netns::UniqueFd route_socket() {
  netns::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  must(fd.get() >= 0, "socket");
  return fd;
}

void ask_for(Batch& batch, int index, std::string_view name) {
  ifinfomsg header{};
  header.ifi_index = index;
  batch.begin(RTM_GETLINK, 0, header);
  if (index == 0) batch.put(IFLA_IFNAME, name);
  batch.put_number(IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
}

void begin_change(Batch& batch, std::string_view name, bool up) {
  ifinfomsg header{};
  header.ifi_flags = header.ifi_change = up ? IFF_UP : 0;
  batch.begin(RTM_NEWLINK, 0, header);
  batch.put(IFLA_IFNAME, name);
}

void no_address_of_its_own(Batch& batch, std::string_view name) {
  begin_change(batch, name, false);
  batch.nest(IFLA_AF_SPEC, [&] {
    batch.nest(AF_INET6, [&] { batch.put_number(IFLA_INET6_ADDR_GEN_MODE, std::uint8_t{IN6_ADDR_GEN_MODE_NONE}); });
  });
}

void one_queue(Batch& batch) {
  batch.put_number(IFLA_NUM_TX_QUEUES, std::uint32_t{1});
  batch.put_number(IFLA_NUM_RX_QUEUES, std::uint32_t{1});
}

void put_pair(Batch& batch, const Order& order, int bridge, int namespace_fd) {
  ifinfomsg header{};
  header.ifi_flags = header.ifi_change = IFF_UP;
  batch.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, header);
  batch.put(IFLA_IFNAME, order.host_link);
  batch.put_number(IFLA_GROUP, order.group);
  batch.put_number(IFLA_MASTER, bridge);
  one_queue(batch);
  batch.nest(IFLA_LINKINFO, [&] {
    batch.put(IFLA_INFO_KIND, "veth");
    batch.nest(IFLA_INFO_DATA, [&] {
      batch.nest(VETH_INFO_PEER, [&] {
        batch.append_header(ifinfomsg{});
        batch.put(IFLA_IFNAME, kPeer);
        batch.put(IFLA_ADDRESS, order.mac.bytes().data(), order.mac.bytes().size());
        batch.put_number(IFLA_NET_NS_FD, namespace_fd);
        one_queue(batch);
      });
    });
  });
}

// The kernel takes neither of these when it makes the pair.
void put_port_options(Batch& batch, const Order& order) {
  no_address_of_its_own(batch, order.host_link);
  begin_change(batch, order.host_link, false);
  batch.put(IFLA_IFALIAS, order.alias.data(), order.alias.size());
  batch.nest(IFLA_LINKINFO, [&] {
    batch.put(IFLA_INFO_SLAVE_KIND, "bridge");
    batch.nest(IFLA_INFO_SLAVE_DATA, [&] { batch.put_number(IFLA_BRPORT_MODE, std::uint8_t{1}); });
  });
}

void put_address(Batch& batch, const Order& order, int index) {
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = static_cast<std::uint8_t>(order.prefix);
  header.ifa_index = static_cast<std::uint32_t>(index);
  batch.begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, header);
  batch.put(IFA_LOCAL, order.address.bytes().data(), order.address.size());
  batch.put(IFA_ADDRESS, order.address.bytes().data(), order.address.size());
}

void put_default_route(Batch& batch, const Order& order, int index) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = kRouteProtocol;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  batch.begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, header);
  batch.put_number(RTA_OIF, index);
  batch.put(RTA_GATEWAY, order.gateway.bytes().data(), order.gateway.size());
}

struct FreeTable {
  void operator()(xtc_handle* handle) const { iptc_free(handle); }
};
using TableHandle = std::unique_ptr<xtc_handle, FreeTable>;

TableHandle open_table(const std::string& name) {
  TableHandle handle(iptc_init(name.c_str()));
  if (!handle) throw std::runtime_error("floor: table " + name + ": " + iptc_strerror(errno));
  return handle;
}

netns::UniqueFd lock_iptables() {
  const char* path = std::getenv("XTABLES_LOCKFILE");
  netns::UniqueFd fd(::open(path != nullptr ? path : "/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  must(fd.get() >= 0 && ::flock(fd.get(), LOCK_EX) == 0, "lock");
  return fd;
}

// A commit zeroes the counters of the policies, so whoever keeps them writes them again.
void keep_policy_counters(xtc_handle* handle) {
  for (const char* chain = iptc_first_chain(handle); chain != nullptr; chain = iptc_next_chain(handle)) {
    if (iptc_builtin(chain, handle) == 0) continue;
    xt_counters counters{};
    const char* policy = iptc_get_policy(chain, &counters, handle);
    iptc_set_policy(chain, policy, &counters, handle);
  }
}

template <class Edit>
void edit_nat(Edit edit) {
  const auto lock = lock_iptables();
  const auto handle = open_table("nat");
  if (edit(handle.get()) == 0) throw std::runtime_error(std::string("floor: rule: ") + iptc_strerror(errno));
  keep_policy_counters(handle.get());
  if (iptc_commit(handle.get()) == 0) throw std::runtime_error(std::string("floor: commit: ") + iptc_strerror(errno));
}

void write_file(const std::string& path, const std::string& content) {
  const netns::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  must(::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()), "write");
}

}  // namespace

struct Floor::Inside {
  netns::UniqueFd space;
  netns::UniqueFd socket;
};

Floor::Floor(std::string directory, const std::string& bridge) : directory_(std::move(directory)) {
  netns::prepare_pin_directory(directory_ + "/netns");
  ::mkdir((directory_ + "/containers").c_str(), 0755);
  ::mkdir("/run/netns", 0755);
  bridge_ = static_cast<int>(::if_nametoindex(bridge.c_str()));
  must(bridge_ != 0, "bridge");
}

Floor::Inside Floor::make_namespace() const {
  Inside inside;
  std::thread([&inside] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    inside.space = netns::UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    inside.socket = netns::UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  }).join();
  must(inside.space.get() >= 0 && inside.socket.get() >= 0, "namespace");
  return inside;
}

void Floor::write_files(const Order& order) const {
  const std::string folder = directory_ + "/containers/" + order.id;
  must(::mkdir(folder.c_str(), 0755) == 0, "mkdir");
  write_file(folder + "/hosts", order.hosts);
  write_file(folder + "/hostname", order.hostname);
  write_file(folder + "/resolv.conf", order.resolv_conf);
}

void Floor::attach(const Order& order) {
  const Inside inside = make_namespace();
  const std::string pin = directory_ + "/netns/" + order.id;
  const netns::UniqueFd file(::open(pin.c_str(), O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444));
  const std::string source = "/proc/self/fd/" + std::to_string(inside.space.get());
  must(::mount(source.c_str(), pin.c_str(), nullptr, MS_BIND, nullptr) == 0, "pin");
  must(::symlink(pin.c_str(), ("/run/netns/" + order.link_name).c_str()) == 0, "symlink");
  write_files(order);

  const netns::UniqueFd host = route_socket();
  Batch outside;
  put_pair(outside, order, bridge_, inside.space.get());
  put_port_options(outside, order);
  outside.send(host.get());

  if (peer_index_ == 0) {
    Batch question;
    ask_for(question, 0, kPeer);
    peer_index_ = question.send(inside.socket.get());
  }
  Batch within;
  no_address_of_its_own(within, kPeer);
  begin_change(within, "lo", true);
  put_address(within, order, peer_index_);
  begin_change(within, kPeer, true);
  put_default_route(within, order, peer_index_);
  ask_for(within, peer_index_,
          kPeer);  // without these three questions the first packet may be lost (docs/performance.md)
  within.send(inside.socket.get());
  Batch settle;
  ask_for(settle, 0, order.host_link);
  ask_for(settle, bridge_, {});
  settle.send(host.get());

  if (order.rule.empty()) return;
  edit_nat([&](xtc_handle* nat) {
    return iptc_append_entry(kPublishChain.data(), reinterpret_cast<const ipt_entry*>(order.rule.data()), nat);
  });
}

void Floor::detach(const Order& order) {
  if (!order.rule.empty()) {
    std::vector<std::uint8_t> all(order.rule.size(), 0xff);
    edit_nat([&](xtc_handle* nat) {
      return iptc_delete_entry(kPublishChain.data(), reinterpret_cast<const ipt_entry*>(order.rule.data()), all.data(),
                               nat);
    });
  }
  const netns::UniqueFd host = route_socket();
  if (::if_nametoindex(order.host_link.c_str()) != 0) {
    Batch batch;
    batch.begin(RTM_DELLINK, 0, ifinfomsg{});
    batch.put(IFLA_IFNAME, order.host_link);
    batch.send(host.get());
  }
  ::unlink(("/run/netns/" + order.link_name).c_str());
  netns::unpin(directory_ + "/netns/" + order.id);
  const std::string folder = directory_ + "/containers/" + order.id;
  for (const char* name : {"/hosts", "/hostname", "/resolv.conf"}) ::unlink((folder + name).c_str());
  ::rmdir(folder.c_str());
}

void Floor::delete_group(std::uint32_t group) {
  const netns::UniqueFd host = route_socket();
  Batch batch;
  batch.begin(RTM_DELLINK, 0, ifinfomsg{});
  batch.put_number(IFLA_GROUP, group);
  batch.send(host.get());
}

std::size_t count_rules(const std::string& table) {
  const auto handle = open_table(table);
  std::size_t count = 0;
  for (const char* chain = iptc_first_chain(handle.get()); chain != nullptr; chain = iptc_next_chain(handle.get())) {
    for (const auto* rule = iptc_first_rule(chain, handle.get()); rule != nullptr;
         rule = iptc_next_rule(rule, handle.get()))
      ++count;
  }
  return count;
}

}  // namespace mb::bench
