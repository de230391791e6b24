// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/behaviour/rows.h"

namespace mb::test {
namespace {

const std::vector<Family> kV4{Family::v4};
const std::vector<Family> kV6{Family::v6};

struct Barrier {
  std::string from;
  std::string to;
};

Row reached(std::string from, Speech speech, std::string to, const std::string& as) {
  return {.from = std::move(from), .speech = speech, .to = std::move(to), .must = "reached as " + as};
}

// A ping tells that it was answered, not as whom it was seen.
Row answered(std::string from, const std::string& by) {
  return {.from = std::move(from), .speech = Speech::ping, .to = by + ":0", .must = "reached"};
}

Row dropped(std::string from, Speech speech, std::string to, std::string nothing_at, Barrier barrier, Guard guard) {
  return {.from = std::move(from),
          .speech = speech,
          .to = std::move(to),
          .must = "dropped",
          .barrier_from = std::move(barrier.from),
          .barrier_to = std::move(barrier.to),
          .nothing_at = std::move(nothing_at),
          .guard = guard};
}

Row refused(std::string from, std::string to) {
  return {.from = std::move(from), .to = std::move(to), .must = "refused"};
}

Row unreachable(std::string from, std::string to) {
  return {.from = std::move(from), .to = std::move(to), .must = "unreachable"};
}

Row in(std::vector<Family> families, Row row) {
  row.families = std::move(families);
  return row;
}

Row forged(std::string from_address, Row row) {
  row.from_address = std::move(from_address);
  return in(kV4, std::move(row));
}

// Without the guard it is something else.
Row but_for(Guard guard, Row row) {
  row.guard = guard;
  return row;
}

Row input_closed(Row row) {
  row.when = When::input_closed;
  return row;
}

std::vector<Row> from_outside() {
  const Barrier published{"outside", "host:8080"};
  return {
      reached("outside", Speech::tcp, "host:8080", "outside"),
      reached("outside", Speech::udp, "host:8080", "outside"),
      reached("outside", Speech::tcp, "host:9000", "outside"),
      reached("outside", Speech::tcp, "host:9005", "outside"),
      reached("outside", Speech::tcp, "host:9999", "outside"),
      in(kV4, refused("outside", "host:8081")),
      dropped("outside", Speech::tcp, "c1:80", "c1", published, Guard::forward),
      dropped("outside", Speech::udp, "c1:80", "c1", published, Guard::forward),
      dropped("outside", Speech::tcp, "c1:81", "c1", published, Guard::forward),
      in(kV4, dropped("wire", Speech::tcp, "loopback:8081", "c1", {"wire", "host:8080"}, Guard::loopback_ports)),
      in(kV4, dropped("wire", Speech::tcp, "loopback:7001", "", {"wire", "host:8080"}, Guard::localnet)),
      in(kV6, refused("outside", "link-local:8080")),
  };
}

std::vector<Row> ports_on_one_address() {
  return {
      reached("outside", Speech::tcp, "host:8090", "outside"),
      reached("c3", Speech::tcp, "host:8090", "c3"),
      reached("host", Speech::tcp, "host:8090", "gateway n1"),
      refused("host", "loopback:8090"),
      refused("host", "gateway n1:8090"),
      refused("c2", "gateway n1:8090"),
      in(kV4, refused("outside", "chosen source:8090")),
      in(kV4, reached("host", Speech::tcp, "127.0.0.2:8091", "gateway n1")),
      in(kV4, refused("host", "loopback:8091")),
      in(kV4, refused("outside", "host:8091")),
      in(kV4, reached("outside", Speech::tcp, "host:8092", "outside")),
      in(kV4, reached("outside", Speech::tcp, "chosen source:8092", "outside")),
      in(kV4, refused("host", "loopback:8092")),
  };
}

std::vector<Row> from_the_host() {
  return {
      in(kV4, reached("host", Speech::tcp, "loopback:8080", "gateway n1")),
      in(kV4, reached("host", Speech::udp, "loopback:8080", "gateway n1")),
      in(kV4, reached("host", Speech::tcp, "loopback:8081", "gateway n1")),
      in(kV6, refused("host", "loopback:8080")),
      reached("host", Speech::tcp, "host:8080", "gateway n1"),
      reached("host", Speech::udp, "host:8080", "gateway n1"),
      reached("host", Speech::tcp, "gateway n1:8080", "gateway n1"),
      reached("host", Speech::tcp, "c1:80", "gateway n1"),
      reached("host", Speech::udp, "c1:80", "gateway n1"),
  };
}

std::vector<Row> from_containers() {
  const Barrier c3_published{"c3", "host:8080"};
  return {
      reached("c1", Speech::tcp, "host:8080", "gateway n1"),
      reached("c1", Speech::udp, "host:8080", "gateway n1"),
      reached("c1", Speech::tcp, "gateway n1:8080", "gateway n1"),
      reached("c2", Speech::tcp, "host:8080", "gateway n1"),
      reached("c2", Speech::udp, "host:8080", "gateway n1"),
      reached("c2", Speech::tcp, "gateway n1:8080", "gateway n1"),
      reached("c2", Speech::tcp, "c1:80", "c2"),
      reached("c2", Speech::udp, "c1:80", "c2"),
      reached("c3", Speech::tcp, "host:8080", "c3"),
      reached("c3", Speech::udp, "host:8080", "c3"),
      reached("c3", Speech::tcp, "gateway n2:8080", "c3"),
      reached("c3", Speech::udp, "gateway n2:8080", "c3"),
      dropped("c3", Speech::tcp, "c1:80", "c1", c3_published, Guard::forward),
      dropped("c3", Speech::udp, "c1:80", "c1", c3_published, Guard::forward),
      dropped("c3", Speech::tcp, "c1:81", "c1", c3_published, Guard::forward),
      dropped("c1", Speech::tcp, "c3:80", "c3", {"c1", "host:8083"}, Guard::forward),
      but_for(Guard::source_address, reached("c1", Speech::tcp, "outside:7003", "host")),
      but_for(Guard::source_address, reached("c1", Speech::udp, "outside:7003", "host")),
      reached("c1", Speech::tcp, "gateway n1:7000", "c1"),
      reached("c1", Speech::udp, "gateway n1:7000", "c1"),
      in(kV4, dropped("rogue", Speech::tcp, "loopback:7001", "", {"rogue", "gateway n1:7000"}, Guard::raw)),
      in(kV4, dropped("rogue", Speech::tcp, "loopback:8081", "c1", {"rogue", "host:8080"}, Guard::raw)),
      forged("127.0.0.9",
             dropped("rogue", Speech::udp, "gateway n1:7000", "", {"rogue", "gateway n1:7000"}, Guard::raw)),
  };
}

std::vector<Row> internal_networks() {
  return {
      reached("i1", Speech::tcp, "i2:80", "i1"),
      reached("i1", Speech::tcp, "gateway inner:7000", "i1"),
      reached("host", Speech::tcp, "i1:80", "gateway inner"),
      unreachable("i1", "outside:7003"),
      unreachable("i1", "host:7002"),
      unreachable("i1", "host:8080"),
      unreachable("i1", "c3:80"),
      dropped("outside", Speech::tcp, "i1:80", "i1", {"host", "i1:80"}, Guard::forward),
      dropped("c3", Speech::tcp, "i1:80", "i1", {"host", "i1:80"}, Guard::forward),
      dropped("stray", Speech::tcp, "outside:7003", "outside", {"c3", "outside:7003"}, Guard::forward),
      dropped("stray", Speech::udp, "outside:7003", "outside", {"c3", "outside:7003"}, Guard::forward),
      dropped("stray", Speech::tcp, "c3:80", "c3", {"host", "c3:80"}, Guard::forward),
      dropped("stray", Speech::tcp, "host:8080", "c1", {"c3", "host:8080"}, Guard::forward),
      dropped("stray", Speech::tcp, "host:7002", "", {"stray", "gateway inner:7000"}, Guard::input),
  };
}

std::vector<Row> other_modes() {
  return {
      reached("outside", Speech::tcp, "r1:80", "outside"),
      dropped("outside", Speech::tcp, "r1:81", "r1", {"outside", "r1:80"}, Guard::forward),
      answered("outside", "r1"),
      reached("outside", Speech::udp, "r1:80", "outside"),
      dropped("outside", Speech::udp, "r1:81", "r1", {"outside", "r1:80"}, Guard::forward),
      reached("r1", Speech::tcp, "outside:7003", "r1"),
      reached("c3", Speech::tcp, "r1:80", "c3"),
      reached("c3", Speech::udp, "r1:80", "c3"),
      reached("u1", Speech::tcp, "r1:80", "u1"),
      dropped("c3", Speech::tcp, "r1:81", "r1", {"c3", "r1:80"}, Guard::forward),
      dropped("c3", Speech::udp, "r1:81", "r1", {"c3", "r1:80"}, Guard::forward),
      dropped("c3", Speech::ping, "r1:0", "r1", {"c3", "r1:80"}, Guard::forward),
      reached("outside", Speech::tcp, "u1:80", "outside"),
      reached("outside", Speech::udp, "u1:80", "outside"),
      reached("outside", Speech::tcp, "u1:81", "outside"),
      answered("outside", "u1"),
      dropped("c3", Speech::tcp, "u1:80", "u1", {"host", "u1:80"}, Guard::forward),
      dropped("c3", Speech::udp, "u1:80", "u1", {"host", "u1:80"}, Guard::forward),
      dropped("r1", Speech::tcp, "u1:80", "u1", {"host", "u1:80"}, Guard::forward),
      dropped("u1", Speech::tcp, "c3:80", "c3", {"u1", "host:8083"}, Guard::forward),
      dropped("outside", Speech::ping, "c1:0", "c1", {"outside", "host:8080"}, Guard::forward),
      dropped("q2", Speech::tcp, "q1:80", "q1", {"q2", "host:8085"}, Guard::isolated),
      dropped("q2", Speech::udp, "q1:80", "q1", {"q2", "host:8085"}, Guard::isolated),
      reached("q2", Speech::tcp, "host:8085", "gateway quiet"),
      reached("q2", Speech::udp, "host:8085", "gateway quiet"),
      reached("q1", Speech::tcp, "host:8085", "gateway quiet"),
      reached("q1", Speech::udp, "host:8085", "gateway quiet"),
      reached("outside", Speech::tcp, "host:8085", "outside"),
      reached("host", Speech::tcp, "q1:80", "gateway quiet"),
      but_for(Guard::no_masquerade, reached("o1", Speech::tcp, "outside:7003", "o1")),
      but_for(Guard::no_masquerade, reached("o1", Speech::udp, "outside:7003", "o1")),
      in(kV4, but_for(Guard::source_address, reached("k1", Speech::tcp, "outside:7003", "chosen source"))),
      in(kV4, but_for(Guard::source_address, reached("k1", Speech::udp, "outside:7003", "chosen source"))),
  };
}

std::vector<Row> with_a_closed_input() {
  return {
      input_closed(reached("outside", Speech::tcp, "host:8080", "outside")),
      input_closed(reached("outside", Speech::udp, "host:8080", "outside")),
      input_closed(reached("c3", Speech::tcp, "host:8080", "c3")),
      input_closed(reached("c2", Speech::tcp, "host:8080", "gateway n1")),
      input_closed(in(kV4, reached("host", Speech::tcp, "loopback:8080", "gateway n1"))),
      input_closed(reached("host", Speech::tcp, "host:8080", "gateway n1")),
      input_closed(dropped("outside", Speech::tcp, "host:7002", "", {"outside", "host:8080"}, Guard::closed_input)),
      input_closed(dropped("c1", Speech::tcp, "gateway n1:7000", "", {"c1", "host:8083"}, Guard::closed_input)),
  };
}

}  // namespace

const std::vector<Row>& behaviour_rows() {
  static const std::vector<Row> kRows = [] {
    std::vector<Row> all;
    for (const auto& part : {from_outside(), ports_on_one_address(), from_the_host(), from_containers(),
                             internal_networks(), other_modes(), with_a_closed_input()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return kRows;
}

std::string title(const Row& row) {
  const std::string from = row.from_address.empty() ? row.from : row.from + " as " + row.from_address;
  if (row.speech == Speech::ping) return from + " → " + row.to.substr(0, row.to.rfind(':')) + " ping";
  return from + " → " + row.to + (row.speech == Speech::udp ? " udp" : " tcp");
}

}  // namespace mb::test
