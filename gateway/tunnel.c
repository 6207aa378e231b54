#include "tunnel.h"

static void touch(struct exchange *x)
{
    struct loop *loop = x->loop;
    timer_set(&loop->wheel, &x->channel->timer, loop->now_ms + loop->gateway->config->tunnel_idle_ms);
}

void tunnel_begin(struct exchange *x, struct view early)
{
    exchange_becomes_stream(x);
    x->tunnel = true;
    buffer_give(&x->loop->buffers,
                &x->request); /* the handshake; from now on it holds what the instance did not take */
    x->sent = 0;
    x->replayable = false;
    x->keep_alive = false;
    touch(x);
    client_send(x->client, early.bytes, early.length);
    x->bytes_out += (int64_t)early.length;
    if (x->client->in) { /* frames that came with the handshake */
        x->request = x->client->in;
        x->client->in = NULL;
    }
    client_arm(x->client);
    tunnel_from_client(x);
}

void tunnel_from_client(struct exchange *x)
{
    struct client *client = x->client;
    struct channel *channel = x->channel;
    struct loop *loop = x->loop;
    exchange_push(x);
    for (int portions = 0; client->readable && !x->request && !client->broken; portions++) {
        if (portions == PORTIONS_PER_TURN) {
            client_queue(client);
            return;
        }
        long n = client_read(client, loop->in, LOOP_READ_BYTES);
        if (n == -1)
            return;
        if (n <= 0) { /* the client has ended; what it had sent is on its way */
            client->broken = true;
            return;
        }
        touch(x);
        x->bytes_in += n;
        long sent = channel->writable ? channel_write(channel, loop->in, (size_t)n) : 0;
        if (sent < 0) {
            channel->readable = channel->hung_up = true; /* reading finds the end */
            return;
        }
        if (sent < n)
            buffer_add(&loop->buffers, &x->request, loop->in + sent, (size_t)(n - sent));
    }
}

void tunnel_from_channel(struct exchange *x)
{
    struct client *client = x->client;
    struct channel *channel = x->channel;
    struct loop *loop = x->loop;
    for (int portions = 0; channel->readable && !client->out && !client->broken; portions++) {
        if (portions == PORTIONS_PER_TURN) {
            client_queue(client);
            return;
        }
        long n = channel_read(channel, loop->in, LOOP_READ_BYTES);
        if (n == -1)
            return;
        if (n <= 0) {
            tunnel_end(x);
            return;
        }
        touch(x);
        x->bytes_out += n;
        client_send(client, loop->in, (size_t)n);
    }
}

void tunnel_end(struct exchange *x)
{
    exchange_finish(x); /* keep_alive is off: after what is in client->out the connection ends */
}
