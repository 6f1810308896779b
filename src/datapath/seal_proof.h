// How to see that an ESP packet was sealed, without its key and whoever was to do it. Before
// anybody seals, the pipeline keeps the first bytes of the text and writes a word of its own where
// the ICV will end. Sealing changes both; that either stays as it was by chance is one case in
// 2^64.
#pragma once

#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet {

// `packet` is what esp::Encapsulate made: from here on it owes a seal (OwesSeal()). False:
// the frame is too long in front for the place to be noted.
//
// Not every packet can show everything: the null cipher and GMAC leave the text as it is, an ICV of
// less than 8 bytes is no proof, and of a text of less than 8 bytes (transport mode, almost no
// payload) the rest is ICV.
bool OweSeal(const EspLayout& layout, uint64_t unsealed_word, Packet* packet);

// The packet's bytes show that it was sealed since OweSeal. REQUIRES: OweSeal was called.
bool ShowsSeal(const Packet& packet, uint64_t unsealed_word);

// The frame still is the ESP packet that OweSeal saw: the IP header says ESP, in UDP or not, and
// the text lies where it lay. Takes nothing for granted of what a device made of the frame.
bool StillEsp(const Packet& packet);

}  // namespace cygnet
