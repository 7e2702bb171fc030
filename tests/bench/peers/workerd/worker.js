// The peer on workerd: the routes that its table has.
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/hello") return new Response("Hello, World!");
    if (pathname === "/echo") {
      const order = await request.json();
      order.revision += 1;
      order.total_cents = order.lines.reduce((sum, line) => sum + line.quantity * line.price_cents, 0);
      return Response.json(order);
    }
    return new Response("", { status: 404 });
  },
};
