/* fanout.h - for dataplane/net alone. */
#pragma once
#include <stdbool.h>

/* Between true and false this thread opens one port of net_af_packet. */
void fanout_choose(bool opens);
