// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/watch.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "netns/unique_fd.h"
#include "src/base/error.h"
#include "src/kernel/links.h"
#include "src/lab/guests.h"

namespace mb::lab {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Reserved for experiments (IEEE Std 802, local experimental EtherType 1).
constexpr std::uint16_t kBarrierType = 0x88b5;
// A bridge hands it to its own host only, never to another port (IEEE 802.1Q, nearest-bridge group address).
constexpr std::array<unsigned char, 6> kLinkLocalGroup = {0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e};
constexpr std::size_t kMostBytes = 2048;  // of a packet that are looked at
constexpr int kReceiveBuffer = 8 << 20;
// A veth made a moment ago can lose a frame and not say so: until the kernel has noticed that its link is up, its queue
// is the one that drops everything (noop). A round that misses a barrier for so long is given up, and the next sends anew.
constexpr auto kBarrierPatience = 3s;

std::uint64_t draw_nonce() {
  std::uint64_t nonce = 0;
  if (::getentropy(&nonce, sizeof nonce) != 0) throw system_failure("cannot draw a random number", errno);
  return nonce;
}

netns::UniqueFd open_capture() {
  // Protocol 0 hears nothing until bind(). Interface 0: all of the namespace, those that come later too.
  netns::UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) throw system_failure("cannot open a packet socket", errno);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    throw system_failure("cannot capture packets", errno);
  }
  return fd;
}

struct Interface {
  std::string name;
  bool up = false;
  bool is_port = false;  // of a bridge
  int peer_index = 0;
  std::optional<int> peer_nsid;
  bool is_veth = false;
};

// One namespace that is watched.
struct Station {
  Place place;  // without a node: where the lab's own bridges are
  netns::Namespace network;
  kernel::Socket route;
  netns::UniqueFd capture;
  std::map<int, Interface> interfaces;
  bool present = true;

  bool is_hidden() const { return place.node.empty(); }
};

std::unique_ptr<Station> make_station(const Place& place, netns::Namespace network) {
  return netns::run_in(network, [&] {
    auto capture = open_capture();
    return std::make_unique<Station>(
        Station{place, std::move(network), kernel::Socket(NETLINK_ROUTE), std::move(capture), {}, true});
  });
}

// A direction of a link, or a loopback device, over which a barrier can travel.
struct Path {
  std::size_t from = 0;  // stations
  int from_index = 0;
  std::size_t to = 0;
  int to_index = 0;
};

struct Barrier {
  std::uint64_t nonce = 0;
  std::uint32_t path = 0;
  std::uint32_t processor = 0;
};

std::string barrier_frame(const Barrier& barrier) {
  constexpr std::size_t kShortest = 60;  // of an Ethernet frame without its check sum
  std::string frame(kShortest, '\0');
  std::memcpy(frame.data(), kLinkLocalGroup.data(), kLinkLocalGroup.size());
  const std::uint16_t type = htons(kBarrierType);
  std::memcpy(frame.data() + 12, &type, sizeof type);
  std::memcpy(frame.data() + 14, &barrier, sizeof barrier);
  return frame;
}

std::optional<Barrier> barrier_in(const Frame& frame) {
  Barrier barrier;
  if (frame.ethertype != kBarrierType || frame.body.size() < sizeof barrier) return std::nullopt;
  std::memcpy(&barrier, frame.body.data(), sizeof barrier);
  return barrier;
}

// The thread goes from processor to processor and comes back to where it may be.
class Processors {
 public:
  Processors() {
    CPU_ZERO(&allowed_);
    if (::sched_getaffinity(0, sizeof allowed_, &allowed_) != 0)
      throw system_failure("cannot ask for processors", errno);
  }
  ~Processors() { ::sched_setaffinity(0, sizeof allowed_, &allowed_); }
  Processors(const Processors&) = delete;
  Processors& operator=(const Processors&) = delete;

  template <class Work>
  void on_each(Work work) {
    for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
      if (!CPU_ISSET(processor, &allowed_)) continue;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(processor, &one);
      if (::sched_setaffinity(0, sizeof one, &one) == 0) work(static_cast<std::uint32_t>(processor));
    }
  }

 private:
  cpu_set_t allowed_{};
};

// The state letter of a task: after the name, which stands in parentheses and may hold anything.
char state_in(const std::string& stat) {
  const auto end = stat.rfind(')');
  return end == std::string::npos || end + 2 >= stat.size() ? '?' : stat[end + 2];
}

bool is_awake(char state) { return state == 'R' || state == 'D' || state == 'W'; }

bool has_awake_task(const fs::path& process) {
  std::error_code gone;
  for (const auto& task : fs::directory_iterator(process / "task", gone)) {
    std::ifstream file(task.path() / "stat");
    std::string stat;
    if (std::getline(file, stat) && is_awake(state_in(stat))) return true;
  }
  return false;
}

// The lab has a pid namespace and a /proc of its own, so what is there is its processes.
bool everybody_sleeps() {
  const std::string self = std::to_string(::getpid());
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos || name == self) continue;
    if (has_awake_task(entry.path())) return false;
  }
  return true;
}

}  // namespace

struct Watch::State {
  explicit State(const World& of) : world(of) {}

  const World& world;
  std::vector<std::unique_ptr<Station>> stations;
  std::vector<Path> paths;
  std::vector<Captured> captured;
  std::uint64_t seen = 0;  // frames that are no barriers
  std::uint64_t nonce = draw_nonce();
  std::uint32_t round = 0;
  std::set<std::pair<std::uint32_t, std::uint32_t>> awaited;  // path, processor

  // ---- looking around

  Station* find(const Place& place) {
    const auto found =
        std::find_if(stations.begin(), stations.end(), [&](const auto& each) { return each->place == place; });
    return found == stations.end() ? nullptr : found->get();
  }

  void meet(const Place& place, netns::Namespace network) {
    if (Station* known = find(place); known != nullptr) {
      known->present = known->network.same_as(network);
      if (known->present) return;
      std::erase_if(stations, [&](const auto& each) { return each->place == place; });
    }
    stations.push_back(make_station(place, std::move(network)));
  }

  void meet_all() {
    for (auto& station : stations) station->present = false;
    meet({}, netns::Namespace::current());
    for (const auto& node : world.topology().node_names()) {
      meet({node, {}}, netns::Namespace::open(fmt::format("/proc/self/fd/{}", world.network(node).fd())));
    }
    for (const auto& node : world.topology().node_names()) {
      for (auto& guest : guests_of(world.rooms(node))) meet_guest({node, guest.name}, std::move(guest.network));
    }
    std::erase_if(stations, [](const auto& station) { return !station->present; });
  }

  // A name for a namespace that is watched already adds nothing.
  void meet_guest(const Place& place, netns::Namespace network) {
    const bool known = std::any_of(stations.begin(), stations.end(), [&](const auto& station) {
      return station->present && station->place != place && station->network.same_as(network);
    });
    if (!known) meet(place, std::move(network));
  }

  static void read_interfaces(Station& station) {
    station.interfaces.clear();
    for (const auto& link : kernel::all_links(station.route)) {
      station.interfaces[link.index] = {link.name,       link.up,        link.master != 0,
                                        link.peer_index, link.peer_nsid, link.kind == "veth"};
    }
  }

  // The station with the other end of a veth; nothing when nobody watches there.
  std::optional<std::size_t> station_of_peer(std::size_t from, const Interface& interface) {
    if (!interface.peer_nsid) return from;
    for (std::size_t i = 0; i < stations.size(); ++i) {
      if (kernel::namespace_number(stations[from]->route, stations[i]->network.fd()) == interface.peer_nsid) return i;
    }
    return std::nullopt;
  }

  void find_paths() {
    paths.clear();
    for (std::size_t from = 0; from < stations.size(); ++from) {
      for (const auto& [index, interface] : stations[from]->interfaces) add_path(from, index, interface);
    }
  }

  void add_path(std::size_t from, int index, const Interface& interface) {
    if (!interface.up) return;
    if (interface.name == "lo") {
      paths.push_back({from, index, from, index});
      return;
    }
    if (!interface.is_veth) return;
    const auto to = station_of_peer(from, interface);
    if (!to) return;
    const auto peer = stations[*to]->interfaces.find(interface.peer_index);
    if (peer != stations[*to]->interfaces.end() && peer->second.up) {
      paths.push_back({from, index, *to, interface.peer_index});
    }
  }

  // ---- capturing

  void read_all() {
    for (std::size_t i = 0; i < stations.size(); ++i) {
      while (read_one(i)) {
      }
    }
  }

  bool read_one(std::size_t number) {
    std::array<char, kMostBytes> bytes{};
    std::array<char, 256> control{};
    sockaddr_ll from{};
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(stations[number]->capture.get(), &message, 0);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR || errno == ENETDOWN) return errno != EAGAIN;
      throw system_failure("cannot read captured packets", errno);
    }
    take_frame(number, from, {bytes.data(), static_cast<std::size_t>(got)}, time_in(message));
    return true;
  }

  static std::int64_t time_in(msghdr& message) {
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
      if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SO_TIMESTAMPNS) continue;
      timespec time{};
      std::memcpy(&time, CMSG_DATA(each), sizeof time);
      return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    }
    return 0;
  }

  void take_frame(std::size_t number, const sockaddr_ll& from, std::string_view bytes, std::int64_t time) {
    const auto frame = parse_frame(bytes);
    if (!frame) return;
    if (const auto barrier = barrier_in(*frame)) {
      take_barrier(number, from, *barrier);
      return;
    }
    ++seen;
    keep(*stations[number], from, *frame, time);
  }

  void take_barrier(std::size_t number, const sockaddr_ll& from, const Barrier& barrier) {
    if (barrier.nonce != nonce + round || from.sll_pkttype == PACKET_OUTGOING || barrier.path >= paths.size()) return;
    const Path& path = paths[barrier.path];
    if (path.to == number && path.to_index == from.sll_ifindex) awaited.erase({barrier.path, barrier.processor});
  }

  // What a switch floods to everybody is for others; a bridge's ports see nothing else.
  void keep(const Station& station, const sockaddr_ll& from, const Frame& frame, std::int64_t time) {
    const bool is_ip = frame.ethertype == ETHERTYPE_IP || frame.ethertype == ETHERTYPE_IPV6;
    const auto interface = station.interfaces.find(from.sll_ifindex);
    if (station.is_hidden() || !is_ip || interface == station.interfaces.end()) return;
    if (from.sll_pkttype == PACKET_OTHERHOST && !interface->second.is_port) return;
    const auto direction = from.sll_pkttype == PACKET_OUTGOING ? Direction::out : Direction::in;
    captured.push_back({time, {station.place, interface->second.name}, direction, std::string(frame.body)});
  }

  void wait_for_packets(std::chrono::milliseconds patience) {
    std::vector<pollfd> entries;
    for (const auto& station : stations) entries.push_back({station->capture.get(), POLLIN, 0});
    ::poll(entries.data(), entries.size(), static_cast<int>(patience.count()));
  }

  // ---- at rest

  void send_barriers() {
    ++round;
    awaited.clear();
    Processors().on_each([&](std::uint32_t processor) {
      for (std::uint32_t i = 0; i < paths.size(); ++i) send_barrier(i, processor);
    });
  }

  void send_barrier(std::uint32_t number, std::uint32_t processor) {
    const Path& path = paths[number];
    const std::string frame = barrier_frame({nonce + round, number, processor});
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(kBarrierType);
    to.sll_ifindex = path.from_index;
    to.sll_halen = kLinkLocalGroup.size();
    std::memcpy(to.sll_addr, kLinkLocalGroup.data(), kLinkLocalGroup.size());
    awaited.insert({number, processor});
    if (::sendto(stations[path.from]->capture.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to),
                 sizeof to) < 0) {
      const Interface& interface = stations[path.from]->interfaces[path.from_index];
      throw system_failure(
          fmt::format("cannot send a barrier over '{}/{}'", stations[path.from]->place.str(), interface.name), errno);
    }
  }

  // Whether all came in time.
  bool collect_barriers(Clock::time_point deadline) {
    read_all();
    while (!awaited.empty()) {
      if (Clock::now() > deadline) return false;
      wait_for_packets(100ms);
      read_all();
    }
    return true;
  }

  // Nobody was awake before, nothing moved meanwhile, and nobody is awake now.
  bool is_at_rest(Clock::time_point deadline) {
    if (!everybody_sleeps()) {
      wait_for_packets(1ms);
      return false;
    }
    read_all();
    const auto before = seen;
    send_barriers();
    if (!collect_barriers(std::min(deadline, Clock::now() + kBarrierPatience)) || !everybody_sleeps()) return false;
    read_all();
    return seen == before;
  }
};

Watch::Watch(const World& world) : state_(std::make_unique<State>(world)) { look_around(); }
Watch::~Watch() = default;

void Watch::look_around() {
  state_->meet_all();
  for (auto& station : state_->stations) State::read_interfaces(*station);
  state_->find_paths();
}

void Watch::leave_guests() {
  std::erase_if(state_->stations, [](const auto& station) { return !station->place.netns.empty(); });
  state_->find_paths();
}

const netns::Namespace& Watch::network(const Place& place) const {
  if (const Station* station = state_->find(place); station != nullptr && !place.node.empty()) return station->network;
  throw Error(ErrorKind::not_found, fmt::format("there is no place '{}' now", place.str()),
              "namespaces inside a node are those that 'ip netns' shows there");
}

std::set<InterfacePlace> Watch::interfaces() const {
  std::set<InterfacePlace> all;
  for (const auto& station : state_->stations) {
    if (station->is_hidden()) continue;
    for (const auto& [index, interface] : station->interfaces) all.insert({station->place, interface.name});
  }
  return all;
}

std::vector<Place> Watch::places() const {
  std::vector<Place> all;
  for (const auto& station : state_->stations) {
    if (!station->is_hidden()) all.push_back(station->place);
  }
  return all;
}

void Watch::settle(std::chrono::milliseconds patience) {
  const auto deadline = Clock::now() + patience;
  while (!state_->is_at_rest(deadline)) {
    if (Clock::now() < deadline) continue;
    throw Error(ErrorKind::failed, fmt::format("the lab does not come to rest within {} s", patience.count() / 1000),
                "something in it sends packets or works without end");
  }
}

std::vector<Captured> Watch::take() {
  state_->read_all();
  return std::exchange(state_->captured, {});
}

bool Watch::waits_for_neighbour() const {
  return std::any_of(state_->stations.begin(), state_->stations.end(),
                     [](const auto& station) { return kernel::looks_for_neighbour(station->route); });
}

}  // namespace mb::lab
